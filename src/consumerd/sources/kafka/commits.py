"""Commits of watermarks: asynchronous while running, synchronous when a partition leaves. Runs in workers.

A task is settled when the broker has confirmed a position above it, never before. One commit is on its way at a
time; what finishes meanwhile goes with the next.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumerd import events
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.health import Health
from consumerd.sources.kafka.membership import Membership

# ruff: noqa: SLF001 - codes with an underscore are the client's public constants for its own errors
OVERDUE_S = 10.0
"""After so long an unanswered commit is taken for lost, and the next one may go."""


class Commits:
    """Sends what is finished. `send` and `send_now` need the client's lock; all else the state lock at most."""

    def __init__(self, membership: Membership, health: Health) -> None:
        self._membership = membership
        self._state = membership.state
        self._health = health
        self._sent_at: float | None = None
        self.is_wanted = False

    @property
    def is_outstanding(self) -> bool:
        """Whether an answer is being waited for."""
        return self._sent_at is not None and self._membership.clock.monotonic() - self._sent_at < OVERDUE_S

    def forget(self) -> None:
        """The client is given up, and with it the answers that it owed."""
        self._sent_at = None

    def send(self, client: Consumer) -> None:
        """Send the watermarks that are not confirmed; the answer comes to `answered`."""
        if self.is_outstanding:
            return
        if self._sent_at is not None:
            self._sent_at = None
            self._health.note_unanswered()
        with self._state:
            self.is_wanted = False
            offsets = self._due(self._membership.assigned.values())
            if not offsets:
                return
            self._sent_at = self._membership.clock.monotonic()
        try:
            client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self.answered(error.args[0], offsets)

    def send_now(self, client: Consumer, leaving: Iterable[AssignedPartition]) -> bool:
        """Commit and wait for the answer: these partitions are about to leave. False when the answer was no."""
        with self._state:
            offsets = self._due(leaving)
        if not offsets:
            return True
        try:
            confirmed = client.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            return self._note(error.args[0], offsets, leaving)
        return self._note(None, confirmed, leaving)

    def answered(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """The client's callback for asynchronous commits."""
        self._sent_at = None
        self._note(error, offsets, self._membership.assigned.values())

    def _due(self, partitions: Iterable[AssignedPartition]) -> list[TopicPartition]:
        offsets = []
        for assigned in partitions:
            position = assigned.position_to_commit()
            if position is not None:
                assigned.note_sent(position)
                place = TopicPartition(self._membership.topic, assigned.partition, position, assigned.topic_uuid)
                offsets.append(place)
        return offsets

    def _note(
        self, error: KafkaError | None, offsets: list[TopicPartition], partitions: Iterable[AssignedPartition]
    ) -> bool:
        """Note the answer; whether it was yes for all."""
        refused: dict[int, KafkaError] = {}
        with self._state:
            known = {assigned.partition: assigned for assigned in partitions}
            for place in offsets:
                assigned, problem = known.get(place.partition), place.error or error
                if problem is not None:
                    refused[place.partition] = problem
                if assigned is not None:
                    settle = assigned.note_durable if problem is None else assigned.note_refused
                    settle(place.offset)
            self._state.notify_all()
        if refused:
            self._report(refused)
        else:
            self._health.note_answer()
        return not refused

    def _report(self, refused: dict[int, KafkaError]) -> None:
        problem = next(iter(refused.values()))
        if problem.code() in (KafkaError._NO_OFFSET, KafkaError._DESTROY):
            return  # nothing was to be committed, or the client is closing: not an answer of the broker
        self._health.note(problem)
        self._membership.emit(
            events.settlement_refused(
                topic=self._membership.topic,
                partitions=sorted(refused),
                error=f"{problem.name()}: {problem.str()}",
                then="it goes with the next commit",
            )
        )
