"""A member of a consumer group that plays the worker's loop around a Kafka source: in a thread, or as a process.

As a process (`python -m integration.scenarios.kafka_member BROKERS TOPIC GROUP MEMBER HISTORY`) it appends a line
`partition offset` to the file HISTORY for each record that it has handled, until it is killed. With `stuck` behind
these arguments it never comes to the end of the first one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.events.facts import Fact
from consumerd.model.outcome import DONE
from consumerd.sources.contract import Batch, EndOfSource, Settlement, SourceContext
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.source import KafkaSource
from consumerd.testing.source_context import NothingParked, StandInWorker, context_for_tests
from servers.waiting import wait_until

PATIENCE_S = 60.0
FETCH_S = 0.1


class ShiftedClock:
    """The machine's clock, which a test may put forward."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def monotonic(self) -> float:
        return SYSTEM_CLOCK.monotonic() + self.shift_s

    def wall(self) -> float:
        return SYSTEM_CLOCK.wall()

    def sleep(self, seconds: float) -> None:
        SYSTEM_CLOCK.sleep(seconds)


@dataclass
class Seat:
    """A source and what surrounds it; `keys` go over the three that are needed."""

    brokers: str
    topic: str
    group: str
    member: str | None = None
    keys: dict[str, Any] = field(default_factory=dict)
    consumer: object = None
    parked: NothingParked = field(default_factory=NothingParked)
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    facts: list[Fact] = field(default_factory=list)
    worker: StandInWorker = field(default_factory=StandInWorker)
    max_unsettled: int = 10_000
    measures_lag: bool = False

    @property
    def options(self) -> KafkaOptions:
        keys = {"brokers": self.brokers, "topic_name": self.topic, "consumer_group": self.group, **self.keys}
        return KafkaOptions.model_validate(keys)

    @property
    def context(self) -> SourceContext:
        return replace(
            context_for_tests(self.consumer, self.options, parked=self.parked),
            member=self.member,
            max_unsettled=self.max_unsettled,
            worker=self.worker,
            emit=self.facts.append,
            clock=self.clock,
        )

    def open(self) -> KafkaSource:
        source = KafkaSource()
        source.open(self.context)
        return source

    def told(self, name: str) -> list[Fact]:
        """The facts of this name."""
        return [fact for fact in list(self.facts) if fact.name == name]


Handle = Callable[[int, int, bytes], None]


class Member:
    """A seat with a loop in one thread and a keeper in another. `handled` has (partition, offset), in order."""

    def __init__(self, seat: Seat, handle: Handle = lambda partition, offset, payload: None) -> None:
        self.seat = seat
        self.handled: list[tuple[int, int]] = []
        self.away: list[Exception] = []
        self.failure: BaseException | None = None
        self._handle = handle
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Member:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Drain and leave, as a worker that is asked to stop."""
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    @property
    def partitions(self) -> set[int]:
        """What it has been assigned, and not revoked or lost."""
        held: set[int] = set()
        for fact in list(self.seat.facts):
            numbers = set(fact.fields.get("partitions", ()))  # type: ignore[call-overload]  # a list of them
            if fact.name == "partitions_assigned":
                held |= numbers
            elif fact.name in ("partitions_revoked", "partitions_lost"):
                held -= numbers
        return held

    def until_handled(self, count: int) -> None:
        """Wait until it has handled so many records."""
        wait_until(
            lambda: len(self.handled) >= count or self.failure is not None,
            PATIENCE_S,
            lambda: f"{len(self.handled)} of {count} records handled",
        )
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            source = self.seat.open()
            keeper = threading.Thread(target=self._keep, args=(source,), daemon=True)
            keeper.start()
            try:
                while not self._stop.is_set():
                    self._turn(source)
            finally:
                self._stop.set()
                keeper.join()
                source.close(monotonic() + PATIENCE_S)
        except EndOfSource:
            pass
        except BaseException as error:  # noqa: BLE001 - told to the test, which raises it
            self.failure = error

    def _turn(self, source: KafkaSource) -> None:
        try:
            batch = source.fetch(max(0, self.seat.max_unsettled - source.unsettled()), FETCH_S)
        except (SourceAwayError, StoreAwayError) as error:
            self.away.append(error)
            return
        if batch is not None:
            self._handle_batch(source, batch)
        source.settle((), is_due=True)

    def _handle_batch(self, source: KafkaSource, batch: Batch) -> None:
        count = 0
        for raw in batch.raws:
            if self._stop.is_set() or not source.keeps(batch):
                break
            self._handle(batch.shard, batch.offset(raw), batch.payload(raw))
            self.handled.append((batch.shard, batch.offset(raw)))
            count += 1
        source.settle([Settlement(batch, 0, count, DONE)], is_due=False)
        source.release(batch, range(count, len(batch.raws)))

    def _keep(self, source: KafkaSource) -> None:
        while not self._stop.wait(0.2):
            source.tick()
            if self.seat.measures_lag:
                source.lag()


def main() -> None:
    brokers, topic, group, member, history, *stuck = sys.argv[1:]
    descriptor = os.open(history, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(partition: int, offset: int, payload: bytes) -> None:
        del payload
        os.write(descriptor, b"%d %d\n" % (partition, offset))
        if stuck:
            threading.Event().wait()

    keys = {"session_timeout": 45, "max_poll_interval": 60}
    Member(Seat(brokers, topic, group, member, keys), note).start()
    signal.pause()


if __name__ == "__main__":
    main()
