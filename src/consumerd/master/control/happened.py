"""How often what has happened, since the master started. Runs in the master."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from consumerd import events
from consumerd.events.facts import Fact

PARTITIONS = {
    events.partitions_assigned.name: "assigned",
    events.partitions_revoked.name: "revoked",
    events.partitions_lost.name: "lost",
}


class Happened:
    """A listener of facts, the workers' too. All by the consumer, which is empty for the master's own.

    ends: of workers, by cause and end. partitions: how many were assigned, revoked and lost.
    """

    def __init__(self) -> None:
        self.events: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.ends: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        self.partitions: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def __call__(self, fact: Fact) -> None:
        consumer = str(fact.fields.get("consumer", ""))
        self.events[consumer][fact.name] += 1
        if fact.name == events.worker_ended.name:
            self.ends[consumer][str(fact.fields["cause"]), str(fact.fields["end"])] += 1
        elif fact.name in PARTITIONS and isinstance(moved := fact.fields.get("partitions"), Sequence):
            self.partitions[consumer][PARTITIONS[fact.name]] += len(moved)
