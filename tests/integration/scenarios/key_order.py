"""Order by key on a real broker, through kills, rebalances, restarts, failures and retries; judged by its history.

`make order` is the whole run, of ten minutes; the tests have a short one. What is done when is drawn from the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from consumerd.errors import ConsumerdError
from consumerd.wire.control import call
from integration.scenarios.key_history import FINISHED, Run, complaints, read_runs, repeated
from integration.scenarios.numbered_pool import own_directory
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import entry, write_config
from servers.kafka import KafkaServer
from servers.waiting import wait_until

POOL = "small/keyed"
TOPIC = "keyed"
KEYS = 200
PARTITIONS = 6
WORKERS = 3
BACKLOG = 3_000
ACTS = {"kill": 5, "scale": 5, "restart": 1, "stop": 2}
QUIET_S = 180.0

KEYS_OF_THE_POOL: dict[str, Any] = {  # they have any type
    "concurrency": 16,
    "ordered": "key",
    "task_retry_times": 3,
    "crash_limit": 1000,
    "settle_interval": 0.2,
    "max_unsettled": 500,
    "max_unavailable": WORKERS,
    "stop_timeout": 20,
}


class KeyOrder:
    """One run. done: how often what was done."""

    def __init__(self, directory: Path, brokers: str, topic: str, *, consumer: str, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.runs: list[Run] = []
        self._directory = directory
        self._topic = topic
        self._random = random.Random(seed)
        self._counts: Counter[int] = Counter()
        self._killed_ns: dict[int, int] = {}
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, "enable.idempotence": True})
        self._history = directory / "history"
        self._history.mkdir()
        kafka = {"brokers": brokers, "topic_name": topic, "consumer_group": topic}
        keyed = entry(
            consumer,
            WORKERS,
            module="integration.scenarios.keyed_tasks",
            **kafka,
            **KEYS_OF_THE_POOL,
            history=str(self._history),
        )
        self._config = write_config(directory, keyed | {"name": "keyed"})

    def run(self, seconds: float, *, acts_a_second: float) -> list[str]:
        """Disturb it for so long; then let it come to the end of the topic. What must not be, a sentence each."""
        state_dir = self._directory / "state"
        with running(self._config, state_dir=state_dir, log=self._directory / "log", env=environment()) as master:
            master.wait_until_ready(WORKERS)
            end = time.monotonic() + seconds
            next_act = time.monotonic() + 1.0
            while time.monotonic() < end:
                self._fill()
                if time.monotonic() >= next_act:
                    next_act = time.monotonic() + self._random.expovariate(acts_a_second)
                    self._act(master)
                time.sleep(0.05)
            self._call(master, "scale", workers=WORKERS)
            wait_until(lambda: self._left() == 0, QUIET_S, lambda: f"{self._left()} tasks are left{master.tail()}")
            if code := master.stop():
                return [f"the master left with {code}"]
        self.runs = self._read()
        return list(complaints(self.runs, self._counts, self._killed_ns))

    def __str__(self) -> str:
        done = ", ".join(f"{count} × {what}" for what, count in sorted(self.done.items()))
        failed = sum(run.how == "failed" for run in self.runs)
        processes = len({run.pid for run in self.runs})
        tasks = f"{self._counts.total()} tasks of {KEYS} keys in {processes} processes"
        again = f"{repeated(self.runs)} tasks came again, {repeated(self.runs, self._killed_ns)} of them without a kill"
        return f"{tasks}; {failed} attempts failed, {again}; {done}"

    # What happens

    def _fill(self) -> None:
        for _ in range(max(0, BACKLOG - self._left())):
            key = int(self._random.paretovariate(1.0)) % KEYS  # some keys have many
            record = {"key": key, "number": self._counts[key]}
            self._counts[key] += 1
            self._producer.produce(self._topic, json.dumps(record), key=b"%d" % key)
        self._producer.flush(30)

    def _act(self, master: Running) -> None:
        act = self._random.choices(list(ACTS), list(ACTS.values()))[0]
        workers = [worker["pid"] for worker in self._pool(master)["workers"] if worker["pid"] and worker["handled"]]
        if act == "scale":
            self._call(master, "scale", workers=self._random.randint(1, PARTITIONS))
        elif act == "restart":
            self._call(master, "restart")
        elif not workers:
            return
        else:
            self._signal(self._random.choice(workers), signal.SIGKILL if act == "kill" else signal.SIGTERM)
        self.done[act] += 1

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            if number is signal.SIGKILL:
                self._killed_ns[pid] = time.monotonic_ns()

    def _call(self, master: Running, method: str, **params: object) -> None:
        with contextlib.suppress(ConsumerdError):  # the same is under way
            call(master.state_dir / "control.sock", method, {"target": POOL, **params}, timeout_s=30)

    def _pool(self, master: Running) -> Any:
        [pool] = call(master.state_dir / "control.sock", "status", timeout_s=30)["pools"]
        return pool

    # What came of it

    def _read(self) -> list[Run]:
        histories = (path.read_text().rpartition("\n")[0] for path in self._history.iterdir())  # whole lines alone
        return read_runs(line for history in histories for line in history.splitlines())

    def _left(self) -> int:
        finished = {(run.key, run.number) for run in self._read() if run.how in FINISHED}
        return self._counts.total() - len(finished)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="key_order")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--acts", type=float, default=0.4, help="a second")
    parser.add_argument("--consumer", choices=["KeyedTasks", "AwaitedKeyedTasks"], default="KeyedTasks")
    options = parser.parse_args(arguments)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-order-"), f"seed {options.seed}")
    server = KafkaServer.launch()
    try:
        server.create_topic(TOPIC, PARTITIONS)
        order = KeyOrder(directory, server.brokers, TOPIC, consumer=options.consumer, seed=options.seed)
        found = order.run(options.minutes * 60, acts_a_second=options.acts)
    finally:
        server.stop()
    print("\n".join([str(order), *found]), flush=True)
    return 1 if found else os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
