"""Receiving records: the client is polled by the loop's thread in `fetch`, and by the keeper while a handler is busy.

The client's callbacks (assigned, revoked, committed, errors) run in the thread that polls. Runs in workers.
"""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException, Message, TopicPartition

from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.membership import Membership

SLICE_S = 0.2
"""The longest single poll: signal handlers run, and the keeper has its turn, between two."""

GRAIN_S = 0.001
"""librdkafka waits whole milliseconds, rounded down: for less than one it would be asked again and again."""

ANSWER_LOOK_S = 0.0005
"""Between two looks for the answer to a commit: pausing the partitions instead would throw away what was read ahead."""

KEPT_AT_MOST = 10_000
"""So many records are kept for a busy loop; a pause throws away those that the client still has."""

KEPT_AT_ONCE = 500
QUIET_S = 1.0
SLOW_S = 5.0
"""A loop that asks for no records for so long is slow: what has been fetched is kept for it, and no more is fetched."""

LOOK_AGAIN_S = 1.0
ANSWER_S = 1.0
"""How long brokers have for the answer that shows that all is well again: they may be far away."""


class Receiver:
    """Polls the member's client into `arrivals`."""

    def __init__(self, membership: Membership, arrivals: Arrivals) -> None:
        self._membership = membership
        self._clock = membership.clock
        self._health = membership.health
        self._arrivals = arrivals
        self._polled_at = self._received_at = self._clock.monotonic()
        self._asked_at = 0.0
        self._is_paused = False
        self._kept = 0

    def receive(self, limit: int, timeout_s: float) -> None:
        """Wait for records, at most `limit` of them; with a limit of 0, for callbacks. The loop's thread.

        timeout_s: to the millisecond.
        """
        deadline = self._clock.monotonic() + timeout_s
        with self._membership.client_lock:
            self._prepare(limit)
        awaits_answer = limit < 1 and self._membership.is_commit_outstanding
        while True:
            with self._membership.client_lock:
                left_s = 0.0 if awaits_answer else max(0.0, deadline - self._clock.monotonic())
                has_any = self._receive_slice(limit, min(SLICE_S, left_s))
                self._polled_at = self._clock.monotonic()
            if has_any or deadline - self._polled_at < GRAIN_S:
                return
            if awaits_answer:
                if not self._membership.is_commit_outstanding:
                    return
                self._clock.sleep(ANSWER_LOOK_S)

    def keep_alive(self) -> None:
        """Poll for a loop that has not for a second: its handler is busy. The keeper's thread."""
        member = self._membership
        if self._clock.monotonic() - self._polled_at >= QUIET_S:
            with member.client_if_free() as is_free:
                if is_free:
                    self._keep_fetched(member.client.poll(0))
                    member.send()

    def _prepare(self, limit: int) -> None:
        if limit > 0:
            self._kept, self._received_at = 0, self._clock.monotonic()
            if self._is_paused:
                self._is_paused = False
                self._switch_all(self._membership.client.resume, but_held=self._membership.store_away is not None)
        if self._arrivals.losses.is_due:
            self._arrivals.losses.look()
        if self._membership.is_commit_wanted:
            self._membership.send()

    def _receive_slice(self, limit: int, timeout_s: float) -> bool:
        """One poll; whether there is something to hand out."""
        client = self._membership.client
        if limit < 1:
            self._keep_fetched(client.poll(timeout_s))
            self._look_again()
            return False
        messages = client.consume(limit, 0)
        if not messages and (first := client.poll(timeout_s)) is not None:
            messages = [first, *client.consume(limit - 1, 0)] if limit > 1 else [first]
        if messages:
            self._add(messages)
        else:
            self._look_again()
        if self._membership.is_commit_wanted:
            self._membership.send()
        return self._arrivals.has_any

    def _keep_fetched(self, first: Message | None) -> None:
        """Keep a record that was polled; for a slow loop all that have been fetched, and pause the partitions then.

        Nothing more is fetched until the next fetch with a limit; a partition that is assigned later is not paused.
        Callbacks wait behind the records in the client's queue, so they must not pile up there. But a pause throws
        away what it finds in that queue: it would be fetched again and again.
        """
        if first is None:
            return
        is_slow = self._clock.monotonic() - self._received_at >= SLOW_S
        messages = [first]
        while messages:
            self._add(messages)
            self._kept += len(messages)
            has_room = is_slow and self._kept < KEPT_AT_MOST
            messages = self._membership.client.consume(KEPT_AT_ONCE, 0) if has_room else []
        if is_slow or self._kept >= KEPT_AT_MOST:
            self._is_paused = True
            self._switch_all(self._membership.client.pause)

    def _switch_all(self, act: Callable[[list[TopicPartition]], None], *, but_held: bool = False) -> None:
        """Pause or resume all partitions. but_held: not those that wait for the parking store."""
        with self._membership.state:
            partitions = [each for each in self._membership.assigned.values() if not (but_held and each.is_held)]
        self._membership.switch(act, partitions)

    def _add(self, messages: list[Message]) -> None:
        with self._membership.state:
            self._arrivals.add(messages)
        self._health.note_messages(messages)

    def _look_again(self) -> None:
        """Something wrong may be over, which librdkafka tells as little as it looks for it by itself: ask it to."""
        now, topic, client = self._clock.monotonic(), self._membership.topic, self._membership.client
        if self._health.trouble is None or now - self._asked_at < LOOK_AGAIN_S:
            return
        self._asked_at = now
        try:
            client.list_topics(topic, timeout=ANSWER_S)  # it may be there now, or be allowed: librdkafka sees that
            if not self._health.is_joined:
                return
            one = next(iter(self._membership.assigned), 0)
            (found,) = client.committed([TopicPartition(topic, one)], timeout=ANSWER_S)
        except KafkaException:
            return  # as before
        if found.error is None:
            self._health.note_answer()
