"""What is parked of a partition, asked once it is assigned and before anything of it is handed out. Runs in workers."""

from __future__ import annotations

from consumerd.errors import StoreAwayError
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.contract import ParkedIndex
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.identity import Identity, IdentityQuestion
from consumerd.sources.kafka.membership import Membership

AGAIN_S = 1.0

IDENTITY_S = 15.0
"""So often, while records come, it is asked whether the topic still is the one that it was."""


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
        self._has_news = False
        self._asked_at = membership.clock.monotonic()
        self.away: StoreAwayError | None = None
        question.begin()

    @property
    def identity(self) -> Identity:
        """The topic's identity, as far as it is known."""
        return self._question.identity

    def known_identity(self) -> Identity:
        """The same, waited for a moment where it is not known yet."""
        return self._question.awaited()

    def note_records(self) -> None:
        """Records have come: of this topic, as far as anybody knows."""
        self._has_news = True

    def look_again(self) -> None:
        """Ask for the identity anew, now and then, where records have come since. The keeper's thread, which it does
        not hold up."""
        now = self._membership.clock.monotonic()
        if self._has_news and now - self._asked_at >= IDENTITY_S:
            self._has_news, self._asked_at = False, now
            self._question.ask_again()

    @property
    def is_made_anew(self) -> bool:
        """Whether the topic turned out to be another one than was read so far."""
        return self._question.newer is not None

    def take_newer(self) -> float:
        """What is read from now on is of the newer topic; until when it was surely the one before."""
        self._question.take_newer()
        return self._question.confirmed_at

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
            assigned.topic_uuid = identity.uuid if identity.is_known else ""
            assigned.parked_ids = ids
            assigned.parked = identity.positions(assigned.partition, ids) if self._by_position else frozenset()
            assigned.is_held = False
