"""The Kafka source. Runs in workers and the foreground.

Locks: the client's (one thread polls), then `state` (partitions, arrivals, the batch in hand; short). What the loop
calls while it has a batch (`settle`, `keeps`, `unsettled`, `release`) never waits for the client: a revoke in the
keeper's poll may be waiting for the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError
from consumerd.model.contract import is_overridden
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.decoding import decode_json
from consumerd.sources.kafka import TRAITS
from consumerd.sources.kafka.arrivals import Arrivals, Run
from consumerd.sources.kafka.batch import KafkaBatch
from consumerd.sources.kafka.commits import Commits
from consumerd.sources.kafka.facade import Facade
from consumerd.sources.kafka.group import GroupMember
from consumerd.sources.kafka.hand import AnyBatch, Hand
from consumerd.sources.kafka.health import Health
from consumerd.sources.kafka.identity import IdentityQuestion
from consumerd.sources.kafka.iteration import Iteration
from consumerd.sources.kafka.lookup import Lookup
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.reader import MessageReader
from consumerd.sources.kafka.shared import Shared
from consumerd.sources.kafka.topic import Topic
from consumerd.sources.records import decode_record

LARGEST_BATCH = 500


class KafkaSource:
    """A member of the consumer group. `facade` is what the consumer sees as its `consume_client`."""

    traits = TRAITS

    def __init__(self) -> None:
        self.facade = Facade()
        self._iteration: Iteration | None = None

    def open(self, context: SourceContext) -> None:
        """Join the group; partitions come with a later fetch. Raises SourceRefusedError for settings that cannot be."""
        options = context.options
        assert isinstance(options, KafkaOptions)
        is_iterated = is_overridden(type(context.consumer), "iterate_task")
        membership = Membership(options.topic_name, options.brokers, context.emit, context.clock)
        self._context, self._membership = context, membership
        self._topic = Topic(options, context.emit)
        self._health = Health(membership, options)
        self._arrivals = Arrivals(membership, self._health.note)
        self._hand = Hand(membership.state, context.worker.interrupt)
        question = IdentityQuestion(options.topic_name, self._topic.identity)
        self._lookup = Lookup(membership, context.parked, question, by_position=not is_iterated)
        self._commits = Commits(membership, self._health)
        shared = Shared(membership, self._arrivals, self._commits, self._health, self._lookup)
        self._member = GroupMember(context, options, shared, self._hand)
        self._receiver = self._member.receiver
        if is_iterated:
            reader = MessageReader(shared, self._receiver, check=self._check, worker=context.worker)
            self._iteration = Iteration(reader, context, membership)
            self.facade.serve(self._iteration.messages)

    @property
    def has_answered(self) -> bool:
        """Whether the group has let this member in, as it does for no topic, too, and nothing is known to be wrong."""
        return self._health.is_served and self._health.trouble is None

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        """At most `limit` records of one partition."""
        self._hand.enter()
        if self._iteration is not None and limit > 0:
            batch = self._iteration.next_batch()
            with self._membership.state:
                self._hand.give(batch)
            return cast("Batch", batch)
        wanted = min(limit, LARGEST_BATCH)
        found = self._next_batch(wanted)
        if found is None:
            self._check()
            self._receiver.receive(wanted, timeout_s)
            found = self._next_batch(wanted)
        if found is None:
            self._raise_when_away()
        return cast("Batch | None", found)

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        """Note what is finished; a commit goes out when due, or when a quarter of `max_unsettled` is outstanding."""
        with self._membership.state:
            for settlement in settlements:
                batch = cast("AnyBatch", settlement.batch)
                if batch.assigned is None or not batch.assigned.is_fenced:
                    batch.finish(settlement.start, settlement.stop)
            must_send = is_due or 4 * self._membership.unsettled >= self._context.max_unsettled
        if must_send:
            self._receiver.send_commits()

    def unsettled(self) -> int:
        """Tasks handed out and not confirmed by the broker as committed; counted, not measured in offsets."""
        with self._membership.state:
            return self._membership.unsettled

    def keeps(self, batch: Batch) -> bool:
        """False once the partition is being taken away."""
        assigned = cast("AnyBatch", batch).assigned
        return assigned is None or not assigned.is_leaving

    def settles(self, batch: Batch) -> bool:
        """False once the partition was taken away; true still while a revoke waits for the loop to leave it."""
        assigned = cast("AnyBatch", batch).assigned
        return assigned is None or not assigned.is_fenced

    def trouble(self) -> SourceAwayError | None:
        """What keeps records from coming, or those of some partition, whatever is handed out meanwhile."""
        return self._health.trouble

    def decode(self, payload: bytes) -> object:
        """The record in a parked payload."""
        return decode_json(payload) if self._iteration is None else decode_record(payload)

    def release(self, batch: Batch, start: int) -> None:
        """The loop has left the batch; its records from `start` on come again after the next assignment."""
        del start
        with self._membership.state:
            self._hand.leave(cast("AnyBatch", batch))

    def tick(self) -> None:
        """Poll for a loop whose handler takes long, so that the group goes on; send what it has finished."""
        self._receiver.keep_alive()
        self._lookup.look_again()

    def lag(self) -> tuple[ShardLag, ...]:
        """Of all partitions of the topic, whoever has them. Raises SourceAwayError, SourceRefusedError."""
        trouble = self._health.trouble
        if trouble is not None and not self._health.is_served:
            raise trouble  # asking brokers that do not answer costs the client a good part of a core
        lag = self._topic.lag(self._oldest_s)
        self._member.note_uncommitted(self._topic.uncommitted)
        return lag

    def close(self, deadline: float) -> None:
        """Commit what is finished and end; where no process takes the slot over, leave the group."""
        self._hand.leave_all()
        if self._iteration is not None:
            self._iteration.close()
        closing = threading.Thread(target=self._member.leave, args=(deadline,), name="kafka-close", daemon=True)
        closing.start()
        closing.join(max(0.0, deadline - monotonic()))
        if closing.is_alive():
            then = "what was finished since the last commit comes again"
            self._context.emit(events.source_close_overdue(then=then))

    # Within

    def _check(self) -> None:
        """Join anew where that helps; raise a refusal that stands."""
        if self._health.fencing is not None:
            self._member.join_anew(self._health.fencing)
        elif self._member.unread:
            self._member.rejoin()
        elif self._lookup.is_made_anew:
            self._member.begin_anew()
        self._health.check()

    def _raise_when_away(self) -> None:
        """There is nothing to hand out: say so where that is because somebody does not answer."""
        away = self._health.trouble or self._lookup.away
        if away is not None:
            raise away

    def _next_batch(self, limit: int) -> KafkaBatch | None:
        if not self._arrivals.has_any:
            return None
        with self._membership.state:
            while limit > 0 and (run := self._arrivals.take(limit)) is not None:
                batch = self._batch_of(run)
                if batch is not None:
                    self._hand.give(batch)
                    return batch
        return None

    def _batch_of(self, run: Run) -> KafkaBatch | None:
        """The run without what is parked, which is finished for the ledger as if it had never been."""
        messages, parked, identity = run.messages, run.assigned.parked, self._lookup.identity
        if parked:
            ids = run.assigned.parked_ids
            messages = [each for each in messages if each.offset() not in parked or not identity.is_parked(each, ids)]
        if not messages:
            run.assigned.ledger.skip_to(run.end)
            return None
        return KafkaBatch(
            run.assigned,
            messages,
            run.end,
            identity=identity,
            payload_limit_bytes=self._context.payload_limit_bytes,
        )

    def _oldest_s(self, partition: int) -> float | None:
        """The age of the oldest task in hand or waiting here, by its record's timestamp."""
        with self._membership.state:
            assigned = self._membership.assigned.get(partition)
            if assigned is None:
                return None
            oldest = self._hand.oldest_of(assigned)
            if oldest is None:  # an empty message is false
                oldest = self._arrivals.first_of(assigned)
        if oldest is None:
            return None
        kind, milliseconds = oldest.timestamp()
        return max(0.0, self._context.clock.wall() - milliseconds / 1000) if kind else None
