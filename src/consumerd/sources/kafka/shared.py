"""The parts of a source that those work with which call its client. Runs in workers."""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.commits import Commits
from consumerd.sources.kafka.health import Health
from consumerd.sources.kafka.lookup import Lookup
from consumerd.sources.kafka.membership import Membership


@dataclass(frozen=True, slots=True)
class Shared:
    """One of each a source."""

    membership: Membership
    arrivals: Arrivals
    commits: Commits
    health: Health
    lookup: Lookup
