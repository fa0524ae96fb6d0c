"""What something costs the loop, in a process in which it is there by turns:
`python -m benchmarks.kafka.turns WHAT RECORDS HANDLER [BROKERS TOPIC]`; without a broker, tasks in memory.

The records are cut into stretches, with it and without it in the order of ABBA, so that a slow phase of the machine
falls on both alike. Of each four, the CPU time without it over that with it is a ratio; printed are the median of these
and the CPU time of a record. It is the time of all threads, so what a thread does for the loop counts as well; the
client has read ahead, and its own threads rest.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from benchmarks.handlers import HANDLERS, consume
from benchmarks.kafka.run import HEAD_START_S, READ_AHEAD
from consumerd.wire.board_writer import BoardWriter
from consumerd.worker.tasks.handling import BatchHandling
from consumerd.worker.tasks.time_behind import TimeBehind

WARM_UP = 4
"""So many stretches come before those that count."""
LARGEST_BATCH = 10_000
"""A stretch ends with a batch."""
IN_ORDER = (False, True, True, False)


class Switch(Protocol):
    """What is there by turns. configs: the keys that the consumer needs for it. stretches: how many are measured."""

    configs: dict[str, Any]
    stretches: int

    def turn(self, consumer: Any, *, is_on: bool) -> None:  # a class of the benchmark's
        """Have it there, or not. What is left over of the stretch that ends is done first."""


class Methods:
    """What some methods do: where it is not there, they do nothing."""

    configs: dict[str, Any] = {}  # noqa: RUF012 - it is empty
    stretches = 64

    def __init__(self, names: Mapping[type, Sequence[str]]) -> None:
        self._methods = [(owner, name, getattr(owner, name)) for owner, of_it in names.items() for name in of_it]

    def turn(self, consumer: Any, *, is_on: bool) -> None:
        for owner, name, method in self._methods:
            setattr(owner, name, method if is_on else lambda *_, **__: None)


def metrics() -> Switch:
    """All that a worker counts and times for metrics, beyond how many tasks it has done."""
    names = ("note_calls", "note_behind", "note_outcome", "note_batch")
    return Methods({BoardWriter: names, TimeBehind: ("begin", "end")})


def recorder() -> Switch:
    """The flight recorder."""
    return Methods({BatchHandling: ("_record",)})


class Traces:
    """Traces, sent to a collector: what is left of a stretch at its end, so a stretch must be long."""

    def __init__(self, stretches: int = 12, **keys: object) -> None:
        self.configs: dict[str, Any] = {"traces": {"sample": 0.01, **keys}}
        self.stretches = stretches
        self._tracer: Any = None
        self._off_at = self._off_s = 0.0

    def turn(self, consumer: Any, *, is_on: bool) -> None:
        from opentelemetry import trace

        handling = consumer._runtime._handling  # noqa: SLF001 - there is no key that changes while it runs
        if self._tracer is None:
            self._tracer = handling._tracer  # noqa: SLF001 - as above
            self._tracer._now = lambda: time.monotonic() - self._off_s  # noqa: SLF001 - no time passes while it is off
        if is_on:
            self._off_s += time.monotonic() - self._off_at
        else:
            trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]  # it is the SDK's
            self._off_at = time.monotonic()
        handling._tracer = self._tracer if is_on else None  # noqa: SLF001 - as above


SWITCHES: dict[str, Callable[[], Switch]] = {
    "metrics": metrics,
    "recorder": recorder,
    "traces": Traces,
    "traces-unbounded": lambda: Traces(most_per_second=100_000.0),
    "headers": lambda: Traces(40, sample=1e-9, follow_parent=True),
}


class Turns:
    """The watch of a run, which turns the switch."""

    answer: dict[str, float] | None = None

    def __init__(self, records: int, switch: Switch) -> None:
        self._stretches = WARM_UP + switch.stretches
        self._stretch = records // self._stretches - LARGEST_BATCH
        self._switch = switch
        self._costs: list[float] = []
        self._is_on = True
        self._began: tuple[int, float] | None = None
        self.consumer: Any = None

    def passed(self, handled: int) -> bool:
        if self._began is None:
            time.sleep(HEAD_START_S)
            self._begin(handled, is_on=False)
        elif handled - self._began[0] >= self._stretch:
            at = len(self._costs)
            self._turn(is_on=IN_ORDER[(at + 1) % 4])
            self._costs.append((time.process_time() - self._began[1]) / (handled - self._began[0]) * 1e6)
            self._began = handled, time.process_time()
            if len(self._costs) == self._stretches:
                self._conclude()
        return self.answer is not None

    def _begin(self, handled: int, *, is_on: bool) -> None:
        self._turn(is_on=True)
        self._turn(is_on=is_on)
        self._began = handled, time.process_time()

    def _turn(self, *, is_on: bool) -> None:
        if is_on is not self._is_on or self._began is None:
            self._switch.turn(self.consumer, is_on=is_on)
            self._is_on = is_on

    def _conclude(self) -> None:
        fours = [self._costs[at : at + 4] for at in range(WARM_UP, self._stretches, 4)]
        ratios = [(first + last) / (second + third) for first, second, third, last in fours]
        without = statistics.median((four[0] + four[3]) / 2 for four in fours)
        self.answer = {
            "ratio": statistics.median(ratios),
            "without_us": without,
            "with_us": statistics.median((four[1] + four[2]) / 2 for four in fours),
        }


def main() -> None:
    what, records, handler, *of_kafka = sys.argv[1:]
    from consumerd import BaseConsumer, KafkaBaseConsumer

    switch = SWITCHES[what]()
    turns = Turns(int(records), switch)
    base: Any = KafkaBaseConsumer if of_kafka else BaseConsumer

    class Known(base):  # type: ignore[misc]  # a class of this moment
        """Tells the watch of itself."""

        def pre_consume(self) -> None:
            super().pre_consume()
            turns.consumer = self

    if of_kafka:
        brokers, topic = of_kafka
        configs = {"brokers": brokers, "topic_name": topic, "consumer_group": uuid.uuid4().hex, **READ_AHEAD}
    else:
        Known.SOURCE, configs = "memory", {"count": int(records)}
    consume(Known, HANDLERS[handler], turns, configs | switch.configs)
    print(json.dumps(turns.answer))


if __name__ == "__main__":
    main()
