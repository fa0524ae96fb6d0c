"""What is parked of a partition, asked once it is assigned and before anything of it is handed out. Runs in workers."""

from __future__ import annotations

from collections.abc import Callable

from consumerd.errors import SourceError, StoreAwayError
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.contract import ParkedIndex
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.batch import Identity
from consumerd.sources.kafka.membership import Membership

AGAIN_S = 1.0


class Lookup:
    """Frees held partitions. `away` says why some are still held: the parking store, or the topic's brokers."""

    def __init__(
        self, membership: Membership, index: ParkedIndex, *, identify: Callable[[], Identity], by_position: bool
    ) -> None:
        """identify: asks for the topic's identity; by_position: skip positions, not the tasks yielded for them."""
        self._membership = membership
        self._state = membership.state
        self._index = index
        self._identify = identify
        self._by_position = by_position
        self._identity: Identity | None = None
        self._again_at = 0.0
        self.away: StoreAwayError | SourceError | None = None

    @property
    def identity(self) -> Identity:
        """The topic's identity; known as soon as anything was handed out."""
        assert self._identity is not None
        return self._identity

    def forget_identity(self) -> None:
        """All partitions are gone: the topic may be made anew before the next come."""
        self._identity = None

    @property
    def is_due(self) -> bool:
        """Whether partitions are held and it is time to ask again."""
        return self.away is not None and self._membership.clock.monotonic() >= self._again_at

    def free_held(self) -> list[AssignedPartition]:
        """Ask for all partitions that are held; those that were freed."""
        with self._state:
            held = [assigned for assigned in self._membership.assigned.values() if assigned.is_held]
        freed: list[AssignedPartition] = []
        try:
            for assigned in held:
                self._free(assigned)
                freed.append(assigned)
        except (StoreAwayError, SourceError) as error:
            self.away = error
            self._again_at = self._membership.clock.monotonic() + AGAIN_S
        else:
            self.away = None
        return freed

    def _free(self, assigned: AssignedPartition) -> None:
        identity = self._identity = self._identity or self._identify()
        position = max(assigned.durable, UNKNOWN + 1)
        ids = self._index.parked_from(identity.topic, assigned.partition, position)
        with self._state:
            if self._by_position:
                assigned.parked = identity.positions(assigned.partition, ids)
            else:
                assigned.parked_ids = ids
            assigned.is_held = False
