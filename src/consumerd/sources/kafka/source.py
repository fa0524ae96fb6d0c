"""The Kafka source. Runs in workers and the foreground.

Locks: the client's (one thread polls), then `state` (partitions, arrivals, the batch in hand; short). What the loop
calls while it has a batch (`settle`, `keeps`, `unsettled`, `release`) never waits for the client: a revoke in the
keeper's poll may be waiting for the loop.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

from confluent_kafka import Consumer, KafkaException, Message

from consumerd.clock import monotonic
from consumerd.errors import SourceRefusedError
from consumerd.events.facts import Fact, Level
from consumerd.model.contract import is_overridden
from consumerd.model.interrupts import Interrupt
from consumerd.model.task import Task
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.decoding import decode_json
from consumerd.sources.kafka import TRAITS
from consumerd.sources.kafka.arrivals import Arrivals, Run
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.batch import KafkaBatch
from consumerd.sources.kafka.client_log import FactLogger
from consumerd.sources.kafka.commits import Commits
from consumerd.sources.kafka.facade import Facade
from consumerd.sources.kafka.hand import AnyBatch, Hand
from consumerd.sources.kafka.health import Health
from consumerd.sources.kafka.iteration import Iteration
from consumerd.sources.kafka.lookup import Lookup
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.rebalance import Rebalance
from consumerd.sources.kafka.receiver import Receiver
from consumerd.sources.kafka.settings import consumer_settings
from consumerd.sources.kafka.topic import Topic
from consumerd.sources.records import decode_record

LARGEST_BATCH = 500


class KafkaSource:
    """A member of the consumer group. `facade` is what the consumer sees as its `consume_client`."""

    traits = TRAITS

    def __init__(self) -> None:
        self.facade = Facade()
        self._state = threading.Condition(threading.RLock())
        self._assigned: dict[int, AssignedPartition] = {}
        self._iteration: Iteration | None = None

    def open(self, context: SourceContext) -> None:
        """Join the group; partitions come with a later fetch. Raises SourceRefusedError for settings that cannot be."""
        options = context.options
        assert isinstance(options, KafkaOptions)
        self._context, self._options = context, options
        self._topic = Topic(options, FactLogger(context.emit))
        is_iterated = is_overridden(type(context.consumer), "iterate_task")
        self._hand = Hand(self._state, lambda: context.interrupt(Interrupt.REVOKED))
        self._health = Health(
            topic=options.topic_name, brokers=options.brokers, emit=context.emit, clock=context.clock
        )
        self._arrivals = Arrivals(self._find, self._health.note)
        self._lookup = Lookup(
            self._assigned,
            context.parked,
            identify=self._topic.identity,
            by_position=not is_iterated,
            state=self._state,
            clock=context.clock,
        )
        self._commits = Commits(
            options.topic_name,
            self._assigned,
            self._state,
            on_error=self._health.note,
            on_success=self._health.note_alive,
            emit=context.emit,
            clock=context.clock,
        )
        self._receiver = Receiver(
            self._make_client(),
            options.topic_name,
            self._assigned,
            arrivals=self._arrivals,
            commits=self._commits,
            health=self._health,
            lookup=self._lookup,
            state=self._state,
            clock=context.clock,
        )
        self._subscribe()
        if is_iterated:
            self._iteration = Iteration(self, context, self._state)
            self.facade.serve(self._iteration.messages)

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        """At most `limit` records of one partition."""
        self._hand.enter()
        if self._iteration is not None and limit > 0:
            batch = self._iteration.next_batch()
            with self._state:
                self._hand.give(batch)
            return cast(Batch, batch)
        wanted = min(limit, LARGEST_BATCH)
        found = self._next_batch(wanted)
        if found is None:
            self._health.check(self._topic.lag)
            self._receiver.receive(wanted, timeout_s)
            found = self._next_batch(wanted)
        if found is None:
            self._raise_when_away()
        return cast("Batch | None", found)

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        """Note what is finished; a commit goes out when due, or when half of `max_unsettled` is outstanding."""
        with self._state:
            for settlement in settlements:
                batch = cast(AnyBatch, settlement.batch)
                if batch.assigned is None or not batch.assigned.is_fenced:
                    batch.finish(settlement.start, settlement.stop)
                if settlement.stop == len(batch.raws):
                    self._hand.leave(batch)
            must_send = is_due or 2 * self.unsettled() >= self._context.max_unsettled
        if must_send:
            self._receiver.send_commits()

    def unsettled(self) -> int:
        """Tasks handed out and not confirmed by the broker as committed; counted, not measured in offsets."""
        with self._state:
            return sum(assigned.unsettled for assigned in self._assigned.values())

    def keeps(self, batch: Batch) -> bool:
        """False once the partition is being taken away."""
        assigned = cast(AnyBatch, batch).assigned
        return assigned is None or not assigned.is_leaving

    def decode(self, payload: bytes) -> object:
        """The record in a parked payload."""
        return decode_json(payload) if self._iteration is None else decode_record(payload)

    def release(self, batch: Batch, start: int) -> None:
        """The loop has left the batch; its records from `start` on come again after the next assignment."""
        del start
        with self._state:
            self._hand.leave(cast(AnyBatch, batch))

    def tick(self) -> None:
        """Poll for a loop whose handler takes long, so that the group goes on; send what it has finished."""
        self._receiver.keep_alive()

    def lag(self) -> tuple[ShardLag, ...]:
        """Of all partitions of the topic, whoever has them. Raises SourceAwayError, SourceRefusedError."""
        return self._topic.lag(self._oldest_s)

    def close(self, deadline: float) -> None:
        """Commit what is finished and end. A static member does not leave: its slot's next process takes over."""
        self._hand.enter()
        closing = threading.Thread(target=self._leave, name="kafka-close", daemon=True)
        closing.start()
        closing.join(max(0.0, deadline - monotonic()))
        if closing.is_alive():
            then = "what was finished since the last commit comes again"
            self._context.emit(Fact("source_close_overdue", Level.WARNING, {"then": then}))

    # For the user's own iterate_task

    def read(self) -> tuple[AssignedPartition, Message] | None:
        """The next message, waited for; None when the worker is to stop, or the source refuses."""
        return None

    def task_of(self, message: Message) -> Task:
        """The task of a message."""
        return self._lookup.identity.task(message)

    # Within

    def _make_client(self) -> Consumer:
        settings: dict[str, object] = dict(consumer_settings(self._options, member=self._context.member))
        settings |= {"error_cb": self._health.note, "on_commit": self._commits.answered}
        try:
            return Consumer(settings, logger=FactLogger(self._context.emit))
        except KafkaException as error:
            raise SourceRefusedError(
                f"librdkafka refuses the configuration of {self._context.name}: {error.args[0].str()}"
            ) from error

    def _subscribe(self) -> None:
        rebalance = Rebalance(
            self._assigned,
            self._arrivals,
            self._hand,
            self._commits,
            state=self._state,
            look_up=self._lookup.free_held,
            on_error=self._health.note,
            emit=self._context.emit,
        )
        self._receiver.client.subscribe(
            [self._options.topic_name],
            on_assign=rebalance.on_assign,
            on_revoke=rebalance.on_revoke,
            on_lost=rebalance.on_lost,
        )
