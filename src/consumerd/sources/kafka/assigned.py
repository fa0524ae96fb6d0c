"""One partition for as long as this worker has it: what is in hand, finished, committed. Pure.

Whoever reads or changes it holds the source's state lock. A partition that is taken away and comes back is another
object: what is settled late for the old one changes nothing.
"""

from __future__ import annotations

from consumerd.model.ledger import UNKNOWN, ShardLedger
from consumerd.model.task import TaskId


class AssignedPartition:
    """The state of one assignment of one partition.

    durable: the position that the broker has confirmed, UNKNOWN where it has none.
    parked: positions to skip where their task is among `parked_ids`, the tasks of the partition in the parking store.
    is_held: not to be handed out before the parking store was asked; is_leaving: no further task may start;
    is_fenced: taken away, what is still settled comes too late.
    went_back_at: when the position went back to the begin of the partition, on the monotonic clock; 0: it did not.
    topic_uuid: of the topic that it is a partition of; empty where it is not known.
    read_to: the position after what the user's own `iterate_task` has read, where it has one.
    """

    __slots__ = (
        "_sent",
        "durable",
        "is_fenced",
        "is_held",
        "is_leaving",
        "ledger",
        "parked",
        "parked_ids",
        "partition",
        "read_to",
        "settled",
        "topic_uuid",
        "went_back_at",
    )

    def __init__(self, partition: int, committed: int) -> None:
        """committed: the group's position; UNKNOWN (or any below 0) where it has none."""
        self.partition = partition
        self.durable = max(committed, UNKNOWN)
        self.ledger = ShardLedger(self.durable)
        self.parked: frozenset[int] = frozenset()
        self.parked_ids: frozenset[TaskId] = frozenset()
        self.settled = 0
        self.topic_uuid = ""
        self.went_back_at = 0.0
        self.read_to = UNKNOWN
        self.is_held = False
        self.is_leaving = False
        self.is_fenced = False
        self._sent: dict[int, int] = {}

    @property
    def unsettled(self) -> int:
        """How many tasks were handed out and are not durably settled."""
        return self.ledger.taken - self.settled

    @property
    def next_position(self) -> int:
        """The position after everything that has left the arrivals."""
        return max(self.ledger.taken_to, self.read_to)

    @property
    def has_unyielded(self) -> bool:
        """Whether the user's `iterate_task` has read messages and not yielded them: they may not be skipped."""
        return self.read_to > self.ledger.taken_to

    def position_to_commit(self) -> int | None:
        """The watermark, where the broker has not confirmed it yet."""
        watermark = self.ledger.watermark
        return watermark if watermark > self.durable else None

    def note_sent(self, position: int) -> None:
        """A commit of `position`, the watermark, is on its way."""
        self._sent[position] = self.ledger.finished_below

    def note_durable(self, position: int) -> None:
        """The broker has confirmed `position`; what this assignment did not send is of an earlier one."""
        if position in self._sent:
            self.settled = max(self.settled, self._sent[position])
            self.durable = max(self.durable, position)
            self._sent = {sent: tasks for sent, tasks in self._sent.items() if sent > position}

    def note_refused(self, position: int) -> None:
        """The commit of `position` failed; the next one goes at least as far."""
        self._sent.pop(position, None)

    def fence(self) -> None:
        """Nothing of it may start or settle any more."""
        self.is_leaving = True
        self.is_fenced = True
