"""Everything that calls the client: one thread at a time polls it, the loop in `fetch` or the keeper in `tick`.

The client's lock is held for each call: since 2.16 the client itself lets a second thread wait for the first, which
would deadlock a revoke that waits for the loop. Callbacks run in the thread that polls. Runs in workers.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.shared import Shared

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
    """Polls the client into `arrivals`."""

    def __init__(self, client: Consumer, shared: Shared) -> None:
        self.client = client
        self.lock = RLock()
        self.is_closed = False
        self._membership = shared.membership
        self._clock = shared.membership.clock
        self._arrivals = shared.arrivals
        self._commits = shared.commits
        self._health = shared.health
        self._lookup = shared.lookup
        self._was_full = False
        self._kept = 0
        self._is_paused = False
        self._polled_at = self._received_at = self._clock.monotonic()
        self._asked_at = 0.0

    def replace(self, client: Consumer) -> None:
        """Go on with another client, which has nothing yet. Under the lock."""
        self.client = client
        self._was_full = self._is_paused = False
        self._kept = 0

    def receive(self, limit: int, timeout_s: float) -> None:
        """Wait for records, at most `limit` of them; with a limit of 0, for callbacks. The loop's thread.

        timeout_s: to the millisecond.
        """
        deadline = self._clock.monotonic() + timeout_s
        with self.lock:
            self._prepare(limit)
        if limit < 1 and self._commits.is_outstanding:
            self._await_answer(deadline)
            return
        while True:
            with self.lock:
                has_any = self._receive_slice(limit, min(SLICE_S, max(0.0, deadline - self._clock.monotonic())))
                self._polled_at = self._clock.monotonic()
            if has_any or deadline - self._polled_at < GRAIN_S:
                return

    def _await_answer(self, deadline: float) -> None:
        """Poll until the commit on its way is answered, which lets the loop go on. Records that come are kept."""
        while True:
            with self.lock:
                message = self.client.poll(0)
                self._polled_at = self._clock.monotonic()
                if message is not None:
                    self._keep([message])
            if not self._commits.is_outstanding or self._polled_at >= deadline:
                return
            self._clock.sleep(ANSWER_LOOK_S)

    def send_commits(self) -> None:
        """Send what is finished, unless another thread has the client: it sends it then."""
        self._commits.is_wanted = True
        if self.lock.acquire(blocking=False):
            try:
                if not self.is_closed:
                    self._commits.send(self.client)
            finally:
                self.lock.release()

    def keep_alive(self) -> None:
        """Poll for a loop that has not for a second: its handler is busy. The keeper's thread."""
        if self._clock.monotonic() - self._polled_at < QUIET_S or not self.lock.acquire(blocking=False):
            return
        try:
            if not self.is_closed:
                self._keep_fetched(self.client.poll(0))
                self._commits.send(self.client)
        finally:
            self.lock.release()

    def _keep_fetched(self, first: Message | None) -> None:
        """Keep a record that was polled; for a slow loop all that have been fetched, and pause the partitions then.

        Callbacks wait behind the records in the client's queue, so they must not pile up there. But a pause throws
        away what it finds in that queue: it would be fetched again and again.
        """
        messages = [] if first is None else [first]
        is_slow = self._clock.monotonic() - self._received_at >= SLOW_S
        while messages:
            self._keep(messages)
            messages = self.client.consume(KEPT_AT_ONCE, 0) if is_slow and self._kept < KEPT_AT_MOST else []
        if first is not None and is_slow:
            self._pause()

    def _keep(self, messages: list[Message]) -> None:
        self._add(messages)
        self._kept += len(messages)
        if self._kept >= KEPT_AT_MOST:
            self._pause()

    def _pause(self) -> None:
        """Fetch nothing more until the next fetch with a limit. A partition that is assigned later is not paused."""
        self._is_paused = True
        self._switch(self.client.pause)

    def _prepare(self, limit: int) -> None:
        if limit > 0:
            self._kept, self._received_at = 0, self._clock.monotonic()
            if self._is_paused:
                self._is_paused = False
                self._switch(self.client.resume)
        if self._lookup.is_due:
            freed = self._lookup.free_held()
            self._resume(freed)
        if self._arrivals.losses.is_due:
            self._arrivals.losses.look(self.client)
        if self._commits.is_wanted:
            self._commits.send(self.client)

    def _receive_slice(self, limit: int, timeout_s: float) -> bool:
        """One poll; whether there is something to hand out."""
        if limit < 1:
            self._keep_fetched(self.client.poll(timeout_s))
            self._look_again()
            return False
        messages = self.client.consume(limit, 0) if self._was_full else []
        if not messages:
            first = self.client.poll(timeout_s)
            messages = [] if first is None else [first]
            if messages and limit > 1:
                messages += self.client.consume(limit - 1, 0)
        self._was_full = len(messages) >= limit
        if messages:
            self._add(messages)
        else:
            self._look_again()
        if self._commits.is_wanted:
            self._commits.send(self.client)
        return self._arrivals.has_any

    def _add(self, messages: list[Message]) -> None:
        with self._membership.state:
            self._arrivals.add(messages)
        self._lookup.note_records()
        self._health.note_messages(messages)

    def _look_again(self) -> None:
        """Something wrong may be over, which librdkafka tells as little as it looks for it by itself: ask it to."""
        now, topic = self._clock.monotonic(), self._membership.topic
        if self._health.trouble is None or now - self._asked_at < LOOK_AGAIN_S:
            return
        self._asked_at = now
        try:
            self.client.list_topics(topic, timeout=ANSWER_S)  # it may be there now, or be allowed: librdkafka sees that
            if not self._health.is_joined:
                return
            one = next(iter(self._membership.assigned), 0)
            (found,) = self.client.committed([TopicPartition(topic, one)], timeout=ANSWER_S)
        except KafkaException:
            return  # as before
        if found.error is None:
            self._health.note_answer()

    def _switch(self, act: Callable[[list[TopicPartition]], None]) -> None:
        """Pause or resume all partitions but those that are held."""
        with self._membership.state:
            partitions = [assigned.partition for assigned in self._membership.assigned.values() if not assigned.is_held]
        self._act(act, partitions)

    def _resume(self, freed: list[AssignedPartition]) -> None:
        with self._membership.state:
            partitions = [assigned.partition for assigned in freed if not assigned.is_leaving]
        self._act(self.client.resume, partitions)

    def _act(self, act: Callable[[list[TopicPartition]], None], partitions: list[int]) -> None:
        try:
            act([TopicPartition(self._membership.topic, partition) for partition in partitions])
        except KafkaException as error:
            self._health.note(error.args[0])
