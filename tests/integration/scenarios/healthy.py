"""A healthy hour: five loads on servers, with bursts, scaling, reloads and rolling restarts; the doctor finds nothing.

`make healthy` is the hour (`--minutes 60`); the tests have some twenty seconds of it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.drills.world import World
from integration.scenarios.running import Answer
from servers.kafka import KafkaServer
from servers.mariadb import launch_mariadb

MODULE = "integration.scenarios.healthy_loads"
LOOK_EVERY_S = 10.0
OPERATION_EVERY_S = 25.0
FEED_EVERY_S = 0.5
RECORDS, BURST, BURST_EVERY = 40, 400, 40
"""So many come each time, and now and then a burst."""


class Healthy:
    """The master with its loads, who feeds them, and what the doctor has found."""

    def __init__(self, directory: Path, state_dir: Path, kafka: KafkaServer, table_url: str) -> None:
        self.world = World(directory, state_dir)
        self.found: list[dict[str, Any]] = []
        self.looks = 0
        self.operations: Counter[str] = Counter()
        self._kafka, self._table = kafka, table_url
        self._topic = f"healthy-{os.urandom(4).hex()}"
        self._stop = threading.Event()
        self._numbers = itertools.count()

    def run(self, seconds: float, *, look_every_s: float, operate_every_s: float) -> None:
        """All of it for so long."""
        self._add_loads()
        feeder = threading.Thread(target=self._feed, daemon=True)
        operator = threading.Thread(target=self._operate, args=(operate_every_s,), daemon=True)
        with self.world.run():
            feeder.start()
            operator.start()
            try:
                self._watch(seconds, look_every_s)
            finally:
                self._stop.set()
                feeder.join(30)
                operator.join(60)

    @property
    def handled(self) -> dict[str, int]:
        """How many tasks each load has done."""
        return {pool["name"]: pool["handled"] for pool in self.status["pools"]}

    def _add_loads(self) -> None:
        self._kafka.create_topic(self._topic, 4)
        create_table(self._table)
        broker = {"brokers": self._kafka.brokers, "topic_name": self._topic, "consumer_group": self._topic}
        ordered = {"concurrency": 8, "ordered": "key"}
        add = self.world.add
        add("kafka", "Logins", module=MODULE, **broker, **ordered, workers={"min": 1, "max": 3})
        coalesced = {"batch_size": 20, "coalesce": {"by": "user"}}
        add("table", "Profiles", module=MODULE, database=self._table, workers=2, **coalesced)
        add("query", "Asked", module=MODULE, workers=2, concurrency=4, max_tasks=5000)
        add("schedule", "Timely", module=MODULE, every=5)
        add("generator", "Generated", module=MODULE, workers=2, max_memory="512MiB")

    def _watch(self, seconds: float, every_s: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.found += [{**each, "problems": self._problems()} for each in self.world.findings()]
            self.looks += 1
            self.status: Answer = self.world.master.status()
            self._stop.wait(max(0.0, min(every_s, until - time.monotonic())))

    def _problems(self) -> list[str]:
        problems: list[str] = self.world.master.status()["problems"]
        return problems

    def _feed(self) -> None:
        from confluent_kafka import Producer  # only where there is a broker

        producer = Producer({"bootstrap.servers": self._kafka.brokers})
        for turn in itertools.count(1):
            if self._stop.wait(FEED_EVERY_S):
                break
            records = BURST if turn % BURST_EVERY == 0 else RECORDS
            for number in itertools.islice(self._numbers, records):
                user = f"user-{random.randrange(200)}"
                producer.produce(self._topic, json.dumps({"number": number, "user": user}).encode(), key=user)
            producer.poll(0)
            rows = [{"number": next(self._numbers), "user": f"user-{random.randrange(200)}"} for _ in range(RECORDS)]
            enqueue(self._table, rows)
        producer.flush(10)

    def _operate(self, every_s: float) -> None:
        """One thing after the other that operators do."""
        verbs = self._verbs()
        while not self._stop.wait(every_s):
            name, verb = next(verbs)
            verb()
            self.operations[name] += 1

    def _verbs(self) -> Iterator[tuple[str, Callable[[], object]]]:
        done = self._done
        for turn in itertools.count():
            yield "rolling restart", lambda: done("restart", "drill/kafka", "--wait")
            yield "scale", lambda: done("scale", "drill/query", "3")
            yield "reload", lambda number=turn: self._reload("generator", color=str(number))
            yield "rolling restart", lambda: done("restart", "drill/table", "--wait")
            yield "scale", lambda: done("scale", "drill/query", "auto")
            yield "reload", lambda number=turn: self._reload("schedule", color=str(number))
            yield "rolling restart", lambda: done("restart", "drill", "--wait")

    def _reload(self, name: str, **configs: Any) -> None:
        self.world.reconfigure(name, **configs)
        self._done("reload", "--wait")

    def _done(self, *words: str) -> None:
        shown = self.world.master.verb(*words)
        if shown.returncode:
            self.found.append({"name": "operation_failed", "sentence": f"{words}: {shown.stderr.decode()}"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    with contextlib.ExitStack() as exits:
        kafka, mariadb = KafkaServer.launch(), launch_mariadb()
        exits.callback(kafka.close)
        exits.callback(mariadb.close)
        directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="cd-")))
        url = exits.enter_context(mariadb.fresh_database())
        healthy = Healthy(directory, directory / "state", kafka, url)
        healthy.run(60 * minutes, look_every_s=LOOK_EVERY_S, operate_every_s=OPERATION_EVERY_S)
    for each in healthy.found:
        print(json.dumps(each, ensure_ascii=False))
    done = ", ".join(f"{name.removeprefix('drill/')} {count}" for name, count in healthy.handled.items())
    operated = ", ".join(f"{count} of {name}" for name, count in healthy.operations.items())
    print(f"{minutes:g} minutes, {healthy.looks} looks, {len(healthy.found)} findings; tasks done: {done}; {operated}")
    return 1 if healthy.found else 0


if __name__ == "__main__":
    sys.exit(main())
