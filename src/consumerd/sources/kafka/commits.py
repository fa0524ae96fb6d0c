"""Commits of watermarks: asynchronous while running, synchronous when a partition leaves. Runs in workers.

A task is settled when the broker has confirmed a position above it, never before. One commit is on its way at a
time; what finishes meanwhile goes with the next.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from consumerd import events
from consumerd.sources.kafka.membership import AssignedPartition, Membership
from consumerd.sources.kafka.refusals import words

OVERDUE_S = 10.0
"""After so long an unanswered commit is taken for lost, and the next one may go."""


class Commits:
    """Sends what is finished. `send` and `send_now` need the client's lock; all else the state lock at most."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._sent_at: float | None = None
        self.is_wanted = False

    @property
    def is_outstanding(self) -> bool:
        """Whether an answer is being waited for."""
        return self._sent_at is not None and self._membership.clock.monotonic() - self._sent_at < OVERDUE_S

    def forget(self) -> None:
        """The client is given up, and with it the answers that it owed."""
        self._sent_at = None

    def send_soon(self) -> None:
        """Send what is finished, unless another thread has the client: it sends it then."""
        member, self.is_wanted = self._membership, True
        if member.client_lock.acquire(blocking=False):
            try:
                if not member.is_closed:
                    self.send()
            finally:
                member.client_lock.release()

    def send(self) -> None:
        """Send the watermarks that are not confirmed; the answer comes to `answered`."""
        if self.is_outstanding:
            return
        member = self._membership
        if self._sent_at is not None:
            self._sent_at = None
            member.health.note_unanswered()
        with member.state:
            self.is_wanted = False
            offsets = self._unsent(member.assigned.values())
            if not offsets:
                return
            self._sent_at = member.clock.monotonic()
        try:
            member.client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.answered(error.args[0], offsets)

    def send_now(self, leaving: Iterable[AssignedPartition]) -> bool:
        """Commit and wait for the answer: these partitions are about to leave. False when the answer was no."""
        with self._membership.state:
            offsets = self._unsent(leaving)
        if not offsets:
            return True
        try:
            confirmed = self._membership.client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            return self._note(error.args[0], offsets, leaving)
        return self._note(None, confirmed, leaving)

    def answered(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """The client's callback for asynchronous commits."""
        self._sent_at = None
        self._note(error, offsets, self._membership.assigned.values())

    def _unsent(self, partitions: Iterable[AssignedPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(self._membership.topic, assigned.partition, position, assigned.topic_uuid)
            for assigned in partitions
            if (position := assigned.take_unsent()) is not None
        ]

    def _note(
        self, error: KafkaError | None, offsets: list[TopicPartition], partitions: Iterable[AssignedPartition]
    ) -> bool:
        """Note the answer; whether it was yes for all."""
        refused: dict[int, KafkaError] = {}
        with self._membership.state:
            known = {assigned.partition: assigned for assigned in partitions}
            for place in offsets:
                problem = place.error or error
                if problem is not None:
                    refused[place.partition] = problem
                if place.partition in known:
                    known[place.partition].note_answer(place.offset, is_refused=problem is not None)
            self._membership.state.notify_all()
        if refused:
            self._report(refused)
        else:
            self._membership.health.note_answer()
        return not refused

    def _report(self, refused: dict[int, KafkaError]) -> None:
        problem = next(iter(refused.values()))
        if problem.code() in (KafkaError._NO_OFFSET, KafkaError._DESTROY):  # noqa: SLF001 - the client's own constants
            return  # nothing was to be committed, or the client is closing: not an answer of the broker
        member, then = self._membership, "it goes with the next commit"
        member.health.note(problem)
        error = words(problem)
        member.emit(events.settlement_refused(topic=member.topic, partitions=sorted(refused), error=error, then=then))
