"""How often what has happened, since the master started. Runs in the master."""

from __future__ import annotations

from collections import Counter, defaultdict

from consumerd import events
from consumerd.events.facts import Fact


class Happened:
    """A listener of facts, the workers' too. events, ends: by the consumer, which is empty for the master's own."""

    def __init__(self) -> None:
        self.events: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.ends: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def __call__(self, fact: Fact) -> None:
        consumer = str(fact.fields.get("consumer", ""))
        self.events[consumer][fact.name] += 1
        if fact.name == events.worker_ended.name:
            self.ends[consumer][str(fact.fields["end"])] += 1
