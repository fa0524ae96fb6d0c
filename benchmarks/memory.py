"""What an idle worker weighs: PSS, with a Kafka client subscribed and the keeper running."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.brokers import kafka
from benchmarks.figures import Better, Figure
from benchmarks.running import RunningMaster

WORKERS = 16


def figures() -> Iterator[Figure]:
    """The median PSS of the workers of an idle pool, a while after all have joined."""
    with kafka() as server:
        topic = "idle"
        server.create_topic(topic, WORKERS)
        configs: dict[str, object] = {"brokers": server.brokers, "topic_name": topic, "consumer_group": "idle"}
        with RunningMaster(consumer="benchmarks.consumers:Idle", workers=WORKERS, configs=configs) as master:
            pids = _all_running(master)
            time.sleep(15)
            megabytes = [pss_bytes(pid) / 1e6 for pid in pids]
    median = statistics.median(megabytes)
    yield Figure(
        "PSS of an idle worker, Kafka client subscribed, keeper running",
        f"{median:.2f} MB",
        f"{WORKERS} workers, {min(megabytes):.2f}–{max(megabytes):.2f}",
        median,
        6.5,
        Better.LOWER,
    )


def pss_bytes(pid: int) -> int:
    """The proportional set size of a process: its own pages, and its share of those it shares."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _all_running(master: RunningMaster) -> list[int]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.5)
        pids = master.worker_pids()
        if len(pids) == WORKERS:
            return pids
    raise TimeoutError(f"{WORKERS} workers did not start within 60 s")
