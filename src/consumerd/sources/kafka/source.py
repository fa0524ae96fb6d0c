"""The Kafka source. Runs in workers and the foreground.

What the loop calls while it has a batch (`settle`, `keeps`, `unsettled`, `release`) never waits for the client's lock:
a revoke in the keeper's poll may be waiting for the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.decoding import decode_json
from consumerd.sources.kafka import TRAITS
from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.group import GroupMember
from consumerd.sources.kafka.identity import IdentityQuestion
from consumerd.sources.kafka.iteration import BatchInHand, ConsumeClient, Iteration
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.receiver import SLICE_S, Receiver
from consumerd.sources.kafka.topic import Topic
from consumerd.sources.records import decode_record

LARGEST_BATCH = 500


class KafkaSource:
    """A member of the consumer group. `facade` is what the consumer sees as its `consume_client`."""

    traits = TRAITS

    def __init__(self) -> None:
        self.facade = ConsumeClient()

    def open(self, context: SourceContext) -> None:
        """Join the group; partitions come with a later fetch. Raises SourceRefusedError for settings that cannot be."""
        options = context.options
        assert isinstance(options, KafkaOptions)
        self._context = context
        self._topic = Topic(options, context.emit)
        question = IdentityQuestion(options.topic_name, self._topic.identity, context.clock)
        member = self._membership = Membership(context, question)
        self._health = member.health
        self._arrivals = Arrivals(member)
        self._receiver = Receiver(member, self._arrivals)
        self._group = GroupMember(member)
        self._group.join()
        if member.is_iterated:
            self.facade.iteration = Iteration(member, self._arrivals, lambda: self._receive(LARGEST_BATCH, SLICE_S))
        question.ask_again()

    @property
    def has_answered(self) -> bool:
        """Whether the group has let this member in, as it does for no topic, too, and nothing is known to be wrong."""
        return self._health.is_served and self._health.trouble is None

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        """At most `limit` records of one partition."""
        self._membership.loop_thread = threading.get_ident()
        if self.facade.iteration is not None and limit > 0:
            return self.facade.iteration.next_batch()
        wanted = min(limit, LARGEST_BATCH)
        batch = self._next_batch(wanted)
        if batch is None:
            self._receive(wanted, timeout_s)
            batch = self._next_batch(wanted)
        if batch is None and (trouble := self._membership.trouble) is not None:
            raise trouble
        return batch

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        """Note what is finished; a commit goes out when due, or when a quarter of `max_unsettled` is outstanding."""
        with self._membership.state:
            for settlement in settlements:
                if self.settles(settlement.batch):
                    cast("BatchInHand", settlement.batch).finish(settlement.start, settlement.stop)
            must_send = is_due or 4 * self._membership.unsettled >= self._context.max_unsettled
        if must_send:
            self._membership.send_soon()

    def unsettled(self) -> int:
        """Tasks handed out and not confirmed by the broker as committed; counted, not measured in offsets."""
        with self._membership.state:
            return self._membership.unsettled

    def keeps(self, batch: Batch) -> bool:
        """False once the partition is being taken away."""
        assigned = cast("BatchInHand", batch).assigned
        return assigned is None or not assigned.is_leaving

    def settles(self, batch: Batch) -> bool:
        """False once the partition was taken away; true still while a revoke waits for the loop to leave it."""
        assigned = cast("BatchInHand", batch).assigned
        return assigned is None or not assigned.is_fenced

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        """Nothing is to be done: what is unsettled of a partition is counted no longer once that was taken away."""

    def due_between(self, batch: Batch) -> tuple[float, float] | None:
        """By the timestamps of its messages; not of what the user's own `iterate_task` makes of them."""
        if self.facade.iteration is not None:
            return None
        (first_kind, first), (last_kind, last) = batch.raws[0].timestamp(), batch.raws[-1].timestamp()
        return (first / 1000, last / 1000) if first_kind and last_kind else None

    def trouble(self) -> SourceAwayError | None:
        """What keeps records from coming, or those of some partition, whatever is handed out meanwhile."""
        return self._health.trouble

    def decode(self, payload: bytes) -> object:
        """The record in a parked payload."""
        return decode_json(payload) if self.facade.iteration is None else decode_record(payload)

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        """The loop has left the batch; what was not begun of it comes again after the next assignment."""
        del not_begun
        assigned = cast("BatchInHand", batch).assigned
        if assigned is not None:
            with self._membership.state:
                assigned.in_hand.remove(cast("BatchInHand", batch))
                self._membership.state.notify_all()

    def tick(self) -> None:
        """Poll for a loop whose handler takes long, so that the group goes on; send what it has finished."""
        self._receiver.keep_alive()
        self._membership.question.ask_now_and_then()

    def lag(self) -> tuple[ShardLag, ...]:
        """Of all partitions of the topic, whoever has them. Raises SourceAwayError, SourceRefusedError."""
        trouble = self._health.trouble
        if trouble is not None and not self._health.is_served:
            raise trouble  # asking brokers that do not answer costs the client a good part of a core
        lag = self._topic.lag(self._oldest_s)
        self._group.note_lag(lag, self._topic.owned)
        return lag

    def close(self, deadline: float) -> None:
        """Commit what is finished and end; where no process takes the slot over, leave the group."""
        with self._membership.state:
            for assigned in self._membership.assigned.values():
                assigned.in_hand.clear()
        if self.facade.iteration is not None:
            self.facade.iteration.close()
        closing = threading.Thread(target=self._group.leave, args=(deadline,), name="kafka-close", daemon=True)
        closing.start()
        closing.join(max(0.0, deadline - monotonic()))
        if closing.is_alive():
            then = "what was finished since the last commit comes again"
            self._context.emit(events.source_close_overdue(then=then))

    # Within

    def _next_batch(self, limit: int) -> Batch | None:
        if limit < 1 or not self._arrivals.has_any:
            return None
        self._arrivals.ask_store()
        with self._membership.state:
            return self._arrivals.next_batch(limit)

    def _receive(self, limit: int, timeout_s: float) -> None:
        self._group.check()
        self._receiver.receive(limit, timeout_s)

    def _oldest_s(self, partition: int) -> float | None:
        """The age of the oldest task in hand or waiting here, by its record's timestamp."""
        with self._membership.state:
            assigned = self._membership.assigned.get(partition)
            oldest = None if assigned is None else assigned.oldest()
        if oldest is None:
            return None
        kind, milliseconds = oldest.timestamp()
        return max(0.0, self._context.clock.wall() - milliseconds / 1000) if kind else None
