"""What is parked of a partition, asked once it is assigned and before anything of it is handed out. Runs in workers."""

from __future__ import annotations

from consumerd.errors import StoreAwayError
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.contract import ParkedIndex
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.identity import Identity, IdentityQuestion
from consumerd.sources.kafka.membership import Membership

AGAIN_S = 1.0


class Lookup:
    """Frees held partitions. `away` says why some are still held: the parking store does not answer."""

    def __init__(
        self, membership: Membership, index: ParkedIndex, question: IdentityQuestion, *, by_position: bool
    ) -> None:
        """by_position: skip positions, not the tasks yielded for them."""
        self._membership = membership
        self._state = membership.state
        self._index = index
        self._question = question
        self._by_position = by_position
        self._again_at = 0.0
        self.away: StoreAwayError | None = None
        question.begin()

    @property
    def identity(self) -> Identity:
        """The topic's identity, as far as it is known."""
        return self._question.identity

    def forget_identity(self) -> None:
        """All partitions are gone: the topic may be made anew before the next come."""
        self._question.forget()

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
        except StoreAwayError as error:
            self.away = error
            self._again_at = self._membership.clock.monotonic() + AGAIN_S
        else:
            self.away = None
        return freed

    def _free(self, assigned: AssignedPartition) -> None:
        identity = self._question.awaited()
        position = max(assigned.durable, UNKNOWN + 1)
        ids = self._index.parked_from(identity.topic, assigned.partition, position)
        with self._state:
            assigned.parked_ids = ids
            assigned.parked = identity.positions(assigned.partition, ids) if self._by_position else frozenset()
            assigned.is_held = False
