"""Whole commands on one topic, as people run them: `consumerd run` with one worker, the bare client, other libraries.

Nothing is set of librdkafka's properties but what `run_bare` says, and nothing is read ahead: the broker's pace counts
as well. Each process tells its own time and CPU time between its first record and its last.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata

from benchmarks.figures import Figure, spread
from benchmarks.kafka.count import ANSWER
from benchmarks.running import Running, RunningMaster
from benchmarks.supervision.peers import environment

PAIRS = 7
TURNS = 2
"""So often each peer runs."""

ENDS_WITHIN_S = 120.0
POST_RECORDS = 400_000


@dataclass(frozen=True)
class Peer:
    """how: which of the ways in `benchmarks.kafka.peers`. wanted: of its environment, the library itself first.

    records: as many as it handles in some seconds.
    """

    name: str
    how: str
    wanted: tuple[str, ...]
    records: int


ORJSON = f"orjson=={metadata.version('orjson')}"
AIOKAFKA, FASTSTREAM = ("aiokafka==0.14.0", ORJSON), ("faststream[kafka]==0.7.8", ORJSON)
PEERS = (
    Peer("aiokafka 0.14.0, getmany", "aiokafka", AIOKAFKA, 600_000),
    Peer("FastStream 0.7.8, batches", "faststream_batch", FASTSTREAM, 150_000),
    Peer("FastStream 0.7.8", "faststream", FASTSTREAM, 15_000),
    Peer("Quix Streams 3.28.1", "quixstreams", ("quixstreams==3.28.1", ORJSON), 150_000),
    Peer("kafka-python 3.0.12", "kafka_python", ("kafka-python==3.0.12", ORJSON), 60_000),
)


@dataclass(frozen=True)
class Told:
    """pace: records a second. cpu_us: CPU time of the process for each."""

    pace: float
    cpu_us: float

    def __str__(self) -> str:
        return f"{self.pace:,.0f}/s, {self.cpu_us:.2f} µs of CPU each"


def figures(brokers: str, topic: str, records: int) -> Iterator[Figure]:
    """Ours and the bare loop in pairs; then each peer beside ours."""
    ours: list[Told] = []
    bare: list[Told] = []
    for pair in range(PAIRS):
        for loop in ("bare", "ours") if pair % 2 else ("ours", "bare"):
            if loop == "ours":
                ours.append(_ours(brokers, topic, records))
            else:
                bare.append(_module(sys.executable, "bare", brokers, topic, str(records)))
    median = _median(ours)
    for what, above, below in (
        ("trivial handler", [told.pace for told in ours], [told.pace for told in bare]),
        ("trivial handler, CPU time", [told.cpu_us for told in bare], [told.cpu_us for told in ours]),
    ):
        ratios = [one / other for one, other in zip(above, below, strict=True)]
        beside = f"bare loop {_median(bare)}; ratio of {PAIRS} pairs {spread(ratios, '.3f')}"
        yield Figure(f"Kafka, whole command, {what}", str(median), beside, statistics.median(ratios), 0.9)
    auto = ("bare", brokers, topic, str(records), "auto")
    yield _beside(
        "the shortest loop, which commits what is not done", median, partial(_module, sys.executable, *auto), None
    )
    post = ("post", brokers, topic, str(POST_RECORDS))
    yield _beside("the post's own loop", median, partial(_module, sys.executable, *post))
    for peer in PEERS:
        if (python := _python(peer)) is not None:
            arguments = ("peers", peer.how, brokers, topic, str(peer.records))
            yield _beside(peer.name, median, partial(_module, python, *arguments))


def _beside(name: str, ours: Told, run: Callable[[], Told], bar: float | None = 1.0) -> Figure:
    theirs = _median([run() for _ in range(TURNS)])
    return Figure(f"Kafka, whole command, beside {name}", str(ours), str(theirs), ours.pace / theirs.pace, bar)


def _median(told: list[Told]) -> Told:
    return Told(statistics.median(each.pace for each in told), statistics.median(each.cpu_us for each in told))


def _python(peer: Peer) -> str | None:
    """The interpreter of its environment; None, and said so, where that cannot be made."""
    try:
        return str(
            environment(f"peer-{peer.wanted[0].partition('=')[0].partition('[')[0]}", peer.wanted) / "bin/python"
        )
    except subprocess.CalledProcessError as error:
        print(f"benchmarks: {peer.name} is left out, for it cannot be installed: {error}", file=sys.stderr, flush=True)
        return None


def _ours(brokers: str, topic: str, records: int) -> Told:
    configs = {"brokers": brokers, "topic_name": topic, "consumer_group": uuid.uuid4().hex, "records": records}
    return _told(RunningMaster.of_pool("benchmarks.consumers:Counted", 1, configs))


def _module(python: str, name: str, *arguments: str) -> Told:
    return _told(Running(lambda directory: [python, "-m", f"benchmarks.kafka.{name}", *arguments]))


def _told(running: Running) -> Told:
    """What a process tells once it has handled all; TimeoutError, with its last words, where it does not."""
    with running:
        try:
            running.hellos.gather(1, ENDS_WITHIN_S)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {(running.directory / 'stderr').read_text()[-2000:]}") from None
        return Told(**json.loads((running.directory / ANSWER).read_text()))
