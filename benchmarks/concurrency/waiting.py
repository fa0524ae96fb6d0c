"""Tasks that wait 5 ms, a hundred at once, on Kafka; and what two hundred slow calls at once weigh and cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.brokers import kafka, redis
from benchmarks.figures import Better, Figure
from benchmarks.proc import pss_bytes, spent_s, tree
from benchmarks.running import RunningMaster
from benchmarks.runs import paired
from benchmarks.supervision.peers import environment
from consumerd.errors import NotRunningError

if TYPE_CHECKING:
    from servers.kafka import KafkaServer

PARTITIONS = 4
KEYS = 1_000
RECORDS = 60_000
PAIRS = 5
CALLS = 200
MEASURED_S = 10.0
READY_WITHIN_S = 60.0
PEERS = {
    "aiokafka": ("aiokafka==0.14.0",),
    "faststream": ("faststream[kafka]==0.7.8",),
}
CELERY = ("celery[redis]==5.7.0", "gevent==26.9.0")
CELERY_TASKS = 20_000


def figures() -> Iterator[Figure]:
    """All of them."""
    with kafka() as server:
        server.create_topic("calls", PARTITIONS)
        _produce(server.brokers, "calls")
        for handler, what, bar in (
            ("async", "Kafka, 100 tasks of 5 ms at once, an event loop", 0.95),
            ("keyed", "Kafka, 100 tasks of 5 ms at once, in order by 1,000 keys", 0.9),
            ("threads", "Kafka, 100 tasks of 5 ms at once, threads", 0.9),
        ):
            arguments = [server.brokers, "calls", str(RECORDS), handler]
            yield paired(what, "benchmarks.concurrency.run", arguments, pairs=PAIRS, bar=bar)
        yield from _beside_peers(server)
    yield from _slow_calls()


def _beside_peers(server: KafkaServer) -> Iterator[Figure]:
    """The best of the event loops by hand is above; here are those that others have written."""
    ours = _ours(server, "async")
    for name, wanted in PEERS.items():
        python = environment(f"concurrency-{name}", wanted) / "bin/python"
        script = str(Path(__file__).with_name("peers.py"))
        theirs = _pace([str(python), script, name, server.brokers, "calls", str(RECORDS)])
        what = f"Kafka, 100 tasks of 5 ms at once, beside {wanted[0].replace('==', ' ')}"
        yield Figure(what, f"{ours:,.0f}/s", f"{theirs:,.0f}/s", ours / theirs, 1.0)
    yield from _beside_celery(_ours(server, "threads"))


def _beside_celery(ours: float) -> Iterator[Figure]:
    """It has a queue of its own, which is filled before; ours reads a topic of Kafka."""
    folder = environment("concurrency-celery", CELERY)
    script = str(Path(__file__).with_name("celery_peer.py"))
    for pool in ("threads", "gevent"):
        with redis() as url:
            theirs = _pace([str(folder / "bin/python"), script, pool, url, str(CELERY_TASKS)])
        queue = url.partition(":")[0]
        what = f"100 tasks of 5 ms at once, threads on Kafka, beside celery 5.7.0 with {pool} on {queue}"
        yield Figure(what, f"{ours:,.0f}/s", f"{theirs:,.0f}/s", ours / theirs, 1.0)


def _ours(server: KafkaServer, handler: str) -> float:
    module = ["-m", "benchmarks.concurrency.run", "consumerd", server.brokers, "calls", str(RECORDS), handler]
    return _pace([sys.executable, *module])


def _slow_calls() -> Iterator[Figure]:
    """One worker with many lanes beside as many workers."""
    found = {name: _weighed(consumer, workers, lanes) for name, consumer, workers, lanes in KINDS}
    processes_mb, processes_cpu = found.pop("processes")
    for name, (megabytes, cpu) in found.items():
        what = f"{CALLS} calls of a second at once, one worker, {name}"
        beside = f"{CALLS} workers {processes_mb:,.0f} MB"
        yield Figure(f"{what}: PSS", f"{megabytes:,.0f} MB", beside, megabytes / processes_mb, 0.2, Better.LOWER)
        beside = f"{CALLS} workers {processes_cpu:.3f}"
        ratio = cpu / max(processes_cpu, 1e-9)
        yield Figure(f"{what}: CPU seconds a second", f"{cpu:.3f}", beside, ratio, None, Better.LOWER)


KINDS = (
    ("an event loop", "Awaiting", 1, CALLS),
    ("threads", "Waiting", 1, CALLS),
    ("processes", "Waiting", CALLS, 1),
)


def _weighed(consumer: str, workers: int, lanes: int) -> tuple[float, float]:
    """The memory of the whole tree, in MB, and its CPU seconds a second."""
    configs = {"concurrency": lanes, "count": 100 * CALLS}
    with RunningMaster.of_pool(f"benchmarks.consumers:{consumer}", workers, configs) as master:
        deadline = time.monotonic() + READY_WITHIN_S
        while _handled(master) < CALLS:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{consumer}: {CALLS} calls did not end in {READY_WITHIN_S:g} s")
            time.sleep(0.2)
        pids = tree(master.process.pid)
        spent = spent_s(pids)
        time.sleep(MEASURED_S)
        return sum(map(pss_bytes, pids)) / 1e6, (spent_s(pids) - spent) / MEASURED_S


def _handled(master: RunningMaster) -> int:
    try:
        return master.handled("benchmark/pool")
    except NotRunningError:
        return 0  # not up yet


def _pace(command: list[str]) -> float:
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {found.stderr}")
    return float(json.loads(found.stdout.splitlines()[-1])["pace"])


def _produce(brokers: str, topic: str) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50})
    for number in range(RECORDS):
        key = number % KEYS
        login = json.dumps({"uid": key, "now": number}).encode()
        producer.produce(topic, login, key=b"%d" % key, partition=key % PARTITIONS)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(120)
