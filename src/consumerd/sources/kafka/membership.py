"""What all parts of the source share: the partitions that this member has, and the lock over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, RLock

from consumerd.clock import Clock
from consumerd.events.facts import Fact
from consumerd.sources.kafka.assigned import AssignedPartition


@dataclass(frozen=True)
class Membership:
    """One member of the group. `state` guards `assigned` and all that is reached from it, for moments only."""

    topic: str
    brokers: str
    emit: Callable[[Fact], None]
    clock: Clock
    assigned: dict[int, AssignedPartition] = field(default_factory=dict)
    state: Condition = field(default_factory=lambda: Condition(RLock()))

    @property
    def unsettled(self) -> int:
        """Tasks handed out and not confirmed by the broker as committed. Under the state lock."""
        return sum([assigned.ledger.taken - assigned.settled for assigned in self.assigned.values()])
