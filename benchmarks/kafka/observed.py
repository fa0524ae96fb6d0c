"""What it costs the loop that it is watched: metrics, the flight recorder, traces. By turns within one process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.brokers import TESTS, kafka
from benchmarks.figures import Figure, spread
from benchmarks.kafka.loop import PARTITIONS, produce

RECORDS, IN_MEMORY = 2_000_000, 12_000_000
ROUNDS, FEW_ROUNDS = 7, 3
UNRECORDED = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]

# What, in words, records, handler, topic or tasks in memory, rounds, bar. Traces need stretches of a second.
OF_WHAT = (
    ("metrics", "Kafka loop, trivial handler, metrics on", RECORDS, "nothing", "logins", ROUNDS, 0.97),
    ("recorder", "Kafka loop, trivial handler, flight recorder on", RECORDS, "nothing", "logins", ROUNDS, None),
    ("traces", "loop in memory, trivial handler, traces at 1 %", IN_MEMORY, "nothing", None, FEW_ROUNDS, 0.95),
    ("traces", "Kafka loop, handler of 20 µs, traces at 1 %", RECORDS // 2, "20us", "logins", FEW_ROUNDS, 0.95),
    ("traces-unbounded", "the same, any number a second", RECORDS // 2, "20us", "logins", 1, None),
    (
        "headers",
        "Kafka loop, trivial handler, a look at all headers",
        RECORDS // 2,
        "nothing",
        "headed",
        FEW_ROUNDS,
        None,
    ),
)


def figures() -> Iterator[Figure]:
    """The CPU time of a record without it over that with it."""
    sys.path.insert(0, TESTS)
    from integration.scenarios.collector import collecting

    with kafka() as server, collecting() as collector:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
        for topic, records, headers in (("logins", RECORDS, None), ("headed", RECORDS // 2, UNRECORDED)):
            server.create_topic(topic, PARTITIONS)
            produce(server.brokers, topic, records, headers)
        for what, name, records, handler, topic, rounds, bar in OF_WHAT:
            sent = len(collector.spans)
            of_kafka = () if topic is None else (server.brokers, topic)
            told = [_turns(what, str(records), handler, *of_kafka) for _ in range(rounds)]
            ratios = [each["ratio"] for each in told]
            with_us, without_us = (statistics.median(each[key] for each in told) for key in ("with_us", "without_us"))
            spans = (len(collector.spans) - sent) // rounds
            yield Figure(
                f"{name}, CPU time",
                f"{with_us:.2f} µs a record" + (f", {spans} spans" if spans else ""),
                f"without {without_us:.2f} µs; ratio of {rounds} rounds {spread(ratios, '.3f')}",
                statistics.median(ratios),
                bar,
            )


def _turns(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.kafka.turns", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {found.stderr}")
    told: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return told
