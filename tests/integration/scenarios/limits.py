"""A limit of 20 at once by channel and of 100 a second in total, over three workers that are killed.

`make limits LIMITS="--seconds 120"` is the whole run; the tests have a short one. With `--hosts 2` there are so many
masters, each with three workers and with tasks of its own, which share the limits by their parking store.

No limit may be exceeded by more than a task, of a rate by one of each host, however the workers die, and each is to be
used to 95 %: the tasks of channel `slow` would run more than 20 at once, and those of all channels start more than 100
times a second. `--planted` gives the masters other numbers than the checker: it has to complain.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.sources.table.schema import create_table, enqueue
from consumerd.wire.control import call
from integration.scenarios.kills import database_named
from integration.scenarios.limit_history import (
    SECOND_NS,
    Ran,
    attempts,
    begun_a_second,
    mean_at_once,
    most_at_once,
    most_too_many,
)
from integration.scenarios.limited_tasks import BEAT_S
from integration.scenarios.numbered_pool import own_directory
from integration.scenarios.running import READY_S, Running, environment, running
from servers.waiting import wait_until

WORKERS = 3
CONCURRENCY = 40
AT_ONCE, PER_SECOND = 20, 100
SLOW_S, QUICK_S = 1.0, 0.05
SLOW_SHARE = 3
"""Every so many-th task is a slow one: 33 a second, of which 20 may run."""

USED = 0.95
SETTLES_S = 4.0
"""So long after the begin, and after a kill, nothing is said of how much is used."""


@dataclass
class Report:
    """What a run came to. most, mean: tasks of the slow channel at once; too_many: see `most_too_many`; rate: a second.

    late_s: the longest that a worker was not run when it should have been.
    """

    hosts: int = 1
    tasks: int = 0
    kills: int = 0
    most: int = 0
    mean: float = 0.0
    too_many: float = 0.0
    rate: float = 0.0
    late_s: float = 0.0
    waits_shown: int = 0
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = f"{self.tasks} tasks, {self.kills} kills; slow at once: {self.most} at most, {self.mean:.2f} in the mean"
        told += f"; {self.rate:.1f} a second, {self.too_many:.2f} too many at most"
        return "\n".join([f"{told}; the machine was late by {self.late_s * 1000:.0f} ms", *self.complaints])

    def judge(self) -> None:
        """What holds on any machine: a begin is written later than it was allowed, by as much as that is late, from a
        thread to the next.
        """
        if self.most > AT_ONCE + 1:
            self.complaints.append(f"{self.most} tasks of one channel ran at once, of {AT_ONCE} that may")
        if self.too_many > self.hosts + PER_SECOND * (2 * self.late_s + BEAT_S):
            self.complaints.append(f"{self.too_many:.2f} tasks more began than {PER_SECOND} a second allow")
        if not self.waits_shown:
            self.complaints.append("consumerd limits never showed a task that waits")

    def judge_use(self) -> None:
        """What a machine with little else to do should reach."""
        if self.mean < USED * AT_ONCE:
            self.complaints.append(f"{self.mean:.2f} tasks of a channel ran at once in the mean, of {AT_ONCE}")
        if self.rate < USED * PER_SECOND:
            self.complaints.append(f"{self.rate:.1f} tasks began in a second, of {PER_SECOND}")


class Limited:
    """One run, in a directory."""

    def __init__(
        self,
        directory: Path,
        *,
        seed: int,
        at_once: int = AT_ONCE,
        per_second: float = PER_SECOND,
        hosts: int = 1,
        parking: str = "embedded",
    ) -> None:
        """at_once, per_second: what the masters are told."""
        self.directory = directory
        self.report = Report(hosts)
        self._random = random.Random(seed)
        self._parking = parking
        self._killed_at_ns: dict[int, int] = {}
        self._begun = 0
        for host in range(hosts):
            (directory / f"host-{host}").mkdir()
            create_table(self._database(host))
        self.configure(at_once, per_second)

    def run(self, seconds: float, *, kill_every_s: float, kills_helpers: bool = False) -> Report:
        """Kill a worker every so often, and a helper of limits."""
        with contextlib.ExitStack() as stack:
            masters = [stack.enter_context(self.started(seconds, host)) for host in range(self.report.hosts)]
            began_ns = time.monotonic_ns()
            self._kill_for(masters, seconds, kill_every_s, kills_helpers=kills_helpers)
            self.read(began_ns, time.monotonic_ns())
            self.report.judge()
        return self.report

    @contextlib.contextmanager
    def started(self, seconds: float = 60.0, host: int = 0, parking: str = "") -> Iterator[Running]:
        """A master with more tasks than can run in this time."""
        self.fill(host, seconds)
        with self.running(host, parking) as master:
            yield master

    @contextlib.contextmanager
    def running(self, host: int, parking: str = "") -> Iterator[Running]:
        """A master, with whatever tasks it has."""
        config, directory = str(self.directory / "config.json"), self.directory / f"host-{host}"
        env = environment(TASKS=self._database(host))
        log, state_dir = directory / "log", directory / "state"
        with running(config, state_dir=state_dir, log=log, env=env, parking=parking or self._parking) as master:
            master.wait_until_ready(WORKERS)
            yield master

    def wait_until_running(self, master: Running, count: int) -> None:
        """Until so many of the slow channel run at once, as `consumerd limits` has it."""
        message = f"{count} tasks at once"
        wait_until(lambda: running_of(master, "slow") == count, READY_S, lambda: f"{message}{master.tail()}")

    def configure(self, at_once: int, per_second: float, **of_channel: object) -> None:
        configs = {
            "workers": WORKERS,
            "concurrency": CONCURRENCY,
            "limits": ["channel", "total"],
            "database": "${TASKS}",
            "book": str(self.directory / "book"),
            "settle_interval": 0.2,
            "lease": 5,
        }
        channel = {"by": "channel", "at_once": at_once, **of_channel}
        limits = {"channel": channel, "total": {"per_second": per_second}}
        entry = {"module": "integration.scenarios.limited_tasks", "class": "LimitedTasks", "configs": configs}
        (self.directory / "config.json").write_text(json.dumps({"small": [entry], "consumerd": {"limits": limits}}))

    def fill(self, host: int, seconds: float) -> None:
        """More tasks than can run in this time."""
        count = int((seconds + SETTLES_S * 2) * PER_SECOND * 2)
        slow, quick = {"channel": "slow", "task_s": SLOW_S}, {"task_s": QUICK_S}
        records = (slow if n % SLOW_SHARE == 0 else {**quick, "channel": f"quick-{n % 7}"} for n in range(count))
        numbered = [{"number": number, **record} for number, record in enumerate(records, self._begun)]
        self._begun += count
        enqueue(self._database(host), numbered)

    def _database(self, host: int) -> str:
        return str(self.directory / f"host-{host}" / "tasks.sqlite")

    def _kill_for(self, masters: list[Running], seconds: float, every_s: float, *, kills_helpers: bool) -> None:
        next_kill, end = time.monotonic() + SETTLES_S + every_s, time.monotonic() + SETTLES_S + seconds
        while (now := time.monotonic()) < end:
            if now >= next_kill:
                next_kill += every_s
                self._kill(self._random.choice(masters))
                if kills_helpers and (helper := helper_of(self._random.choice(masters))):
                    os.kill(helper, signal.SIGKILL)
            self.report.waits_shown += any(each["waiting"] for master in masters for each in shown(master))
            time.sleep(0.2)

    def _kill(self, master: Running) -> None:
        slots = [slot for slot in master.slots() if slot.is_running]
        if not slots:
            return
        pid = self._random.choice(slots).pid
        assert pid is not None
        before_ns = time.monotonic_ns()  # afterwards it may have been dead for as long as we were not run
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._killed_at_ns[pid] = before_ns
            self.report.kills += 1

    def read(self, began_ns: int, end_ns: int) -> None:
        """What the handlers wrote down."""
        lines = (self.directory / "book").read_text().rpartition("\n")[0].splitlines()  # whole lines alone
        late = [float(line.split()[1]) for line in lines if line.startswith("late ")]
        ran = attempts((line for line in lines if not line.startswith("late ")), self._killed_at_ns, end_ns)
        slow = [each for each in ran if each.key == "slow"]
        from_ns, report = began_ns + int(SETTLES_S * SECOND_NS), self.report
        report.tasks, report.most = len(ran), max(map(most_at_once, _by_key(ran)))
        report.mean, report.rate = mean_at_once(slow, from_ns, end_ns), begun_a_second(ran, from_ns, end_ns)
        report.late_s = max(late, default=0.0)
        report.too_many = most_too_many(ran, PER_SECOND)


def shown(master: Running) -> list[dict[str, Any]]:
    """`consumerd limits`."""
    found: list[dict[str, Any]] = call(master.state_dir / "control.sock", "limits", {})["limits"]
    return found


def running_of(master: Running, key: str) -> int:
    """How many tasks of a channel run at once, as `consumerd limits` has it."""
    return sum(each["running"] for each in shown(master) if each["key"] == key)


def helper_of(master: Running) -> int:
    """The pid of its helper of limits; 0 while there is none."""
    for pid in master.descendants():
        with contextlib.suppress(OSError):
            if b"consumerd.limits.helper" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def _by_key(ran: list[Ran]) -> list[list[Ran]]:
    return [[each for each in ran if each.key == key] for key in {each.key for each in ran}]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="limits")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kill-every", type=float, default=5.0, help="seconds")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--planted", action="store_true", help="with limits that are too wide")
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--database", choices=["mariadb", "postgres"], default="postgres", help="of several hosts")
    options = parser.parse_args(arguments)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-limits-"), f"seed {options.seed}")
    wider = {"at_once": AT_ONCE + 4, "per_second": PER_SECOND * 1.2} if options.planted else {}
    with database_named(options.database if options.hosts > 1 else "embedded") as parking:
        limited = Limited(directory, seed=options.seed, hosts=options.hosts, parking=parking or "embedded", **wider)
        report = limited.run(options.seconds, kill_every_s=options.kill_every)
    report.judge_use()
    print(report, flush=True)
    return 1 if report.complaints else os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
