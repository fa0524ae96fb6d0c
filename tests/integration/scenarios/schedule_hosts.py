"""A schedule of each second on three hosts that share a parking store, with kills of workers and of masters.

Each time is to run once, or to be counted as missed; what is begun again after a kill is known as such by its `starts`.
`make schedules SCHEDULES="--database mariadb"` is the whole run, of five minutes; the tests have a short one.
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
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from consumerd.errors import ConsumerdError
from consumerd.wire.control import call
from integration.scenarios.kills import database_named
from integration.scenarios.numbered_pool import own_directory
from integration.scenarios.running import Running, environment, running
from servers.waiting import wait_until

HOSTS = 3
WORKERS = 2
SOON_S = 60.0
KILLS_A_SECOND = 3.0
PROVEN_S = 5.0
MASTER_KILLED_EVERY_S = 5.0
LONGEST_AWAY_S = 4.0


@dataclass
class Report:
    """What became of the times. complaints: what is wrong with it; of nothing where it is as it should be."""

    times: int = 0
    once: int = 0
    again: int = 0
    missed: int = 0
    kills: int = 0
    kills_of_masters: int = 0
    late_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        late = sorted(self.late_s) or [0.0]
        return (
            f"{self.times} times: {self.once} run, {self.missed} missed; {self.again} begun again after {self.kills} "
            f"kills of workers and {self.kills_of_masters} of masters; late by {late[len(late) // 2]:.3f} s (median), "
            f"{late[int(len(late) * 0.99)]:.3f} s (p99); {self.complaints or 'no complaints'}"
        )


class Hosts:
    """The masters, each with a state directory of its own."""

    def __init__(self, directory: Path, database: str, seed: int) -> None:
        self._directory, self._database = directory, database
        self._random = random.Random(seed)
        self._book = directory / "book"
        self._book.touch()
        self._config = directory / "config.json"
        configs = {"every": 1, "overlap": "queue", "workers": WORKERS}
        entry = {"module": "integration.scenarios.ticking", "class": "EachSecond", "configs": configs}
        self._config.write_text(json.dumps({"hosts": [entry]}))
        self._stack = contextlib.ExitStack()
        self._masters: dict[int, Running] = {}
        self._back_at: dict[int, float] = {}
        self.report = Report()

    def run(self, seconds: float) -> Report:
        """Kill for so long, and on until a run was cut off; then judge what the book and the store say."""
        with self._stack:
            for host in range(HOSTS):
                self._start(host)
            wait_until(self._ended, deadline_s=SOON_S, message="no time came")
            end = time.monotonic() + seconds
            next_kill = next_master = time.monotonic() + 1.0
            while (now := time.monotonic()) < end or (now < end + SOON_S and not self._begun_again()):
                if now >= next_kill:
                    next_kill = now + self._random.expovariate(KILLS_A_SECOND)
                    self._kill_worker()
                if now >= next_master:
                    next_master = now + self._random.expovariate(1 / MASTER_KILLED_EVERY_S)
                    self._kill_masters()
                for host in [host for host, back_at in self._back_at.items() if now >= back_at]:
                    del self._back_at[host]
                    self._start(host)
                time.sleep(0.02)
            for host in list(self._back_at):
                self._start(host)
            wait_until(self._is_quiet, deadline_s=SOON_S, message=f"runs are left: {self._rows('parked_tick')}")
            for master in self._masters.values():
                master.stop()
        self._judge()
        return self.report

    def _start(self, host: int) -> None:
        state_dir = self._directory / f"host{host}"
        self._masters[host] = self._stack.enter_context(
            running(
                str(self._config),
                state_dir=state_dir,
                log=self._directory / f"host{host}.log",
                env=environment(BOOK=str(self._book)),
                parking=self._database,
            )
        )

    def _kill_worker(self) -> None:
        """One that has proved itself, half of the time the one that runs: those that have not would end their pool."""
        running = self._running_pid() if self._random.random() < 0.5 else None
        pids = [pid for host in range(HOSTS) for pid in self._proven(host)]
        if meant := [pid for pid in pids if pid == running] or pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._random.choice(meant), signal.SIGKILL)
                self.report.kills += 1

    def _running_pid(self) -> int | None:
        """Of the worker that begins a run next, if one does soon."""

        def begun() -> int | None:
            what, _, _, pid, *_ = self._book.read_text().splitlines()[-1].split()
            return int(pid) if what == "begin" else None

        with contextlib.suppress(TimeoutError):
            return wait_until(begun, 1.5, "a run that goes on")
        return None

    def _proven(self, host: int) -> list[int]:
        with contextlib.suppress(ConsumerdError):  # a master that is not there, or not yet
            (pool,) = call(self._masters[host].state_dir / "control.sock", "status")["pools"]
            workers = [worker for worker in pool["workers"] if worker["pid"]]
            return [
                each["pid"] for each in workers if each["handled"] > each["unsettled"] or each["since_s"] > PROVEN_S
            ]
        return []

    def _kill_masters(self) -> None:
        """One, or, at first and then once in a while, all of them for so long that times are missed."""
        are_all = not self.report.kills_of_masters or self._random.random() < 0.3
        away_s = LONGEST_AWAY_S if are_all else self._random.uniform(0.1, LONGEST_AWAY_S)
        for host in range(HOSTS) if are_all else [self._random.choice(range(HOSTS))]:
            if host not in self._back_at:
                self._masters[host].kill_all()
                self.report.kills_of_masters += 1
                self._back_at[host] = time.monotonic() + away_s

    def _is_quiet(self) -> bool:
        """Whether no run is left but the newest."""
        return len(self._rows("parked_tick")) <= 1

    def _rows(self, table: str) -> list[Any]:  # rows
        engine = create_engine(self._database, poolclass=NullPool)
        with engine.connect() as connection:
            return list(connection.execute(text(f"SELECT * FROM {table}")))

    def _lines(self, what: str) -> list[list[str]]:
        lines = [line.split() for line in self._book.read_text().splitlines()]
        return [line[1:] for line in lines if line[0] == what]

    def _ended(self) -> list[list[str]]:
        return self._lines("end")

    def _begun_again(self) -> bool:
        return any(int(starts) > 1 for _, starts, *_ in self._lines("begin"))

    def _judge(self) -> None:
        report, (schedule,) = self.report, self._rows("parked_schedule")
        begun, ended = defaultdict[int, list[int]](list), defaultdict[int, int](int)
        for at, starts, _, when in self._lines("begin"):
            begun[int(at)].append(int(starts))
            if int(starts) == 1:
                report.late_s.append(float(when) - int(at))
        for at, *_ in self._ended():
            ended[int(at)] += 1
        left = {int(row.scheduled_at) for row in self._rows("parked_tick")}
        report.times = int(schedule.next_at) - min(begun)
        report.once, report.missed = len(ended.keys() - left), schedule.missed
        report.again = sum(len(starts) - 1 for starts in begun.values())
        found = report.once + len(left) + report.missed + schedule.skipped
        twice = {at: starts for at, starts in begun.items() if len(starts) != len(set(starts))}
        kills = report.kills + WORKERS * report.kills_of_masters
        report.complaints += [f"of {report.times} times {found} are known"] * (found != report.times)
        report.complaints += [f"not known as begun again: {twice}"] * bool(twice)
        report.complaints += [f"{report.again} were begun again in {kills} kills"] * (report.again > kills)
        lost = begun.keys() - ended.keys() - left
        report.complaints += [f"begun and never done: {sorted(lost)}"] * bool(lost)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="schedules")
    parser.add_argument("--database", choices=["mariadb", "postgres"], default="postgres")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args(arguments)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-schedules-"), f"seed {options.seed}")
    with database_named(options.database) as database:
        assert database is not None
        report = Hosts(directory, database, options.seed).run(options.minutes * 60)
    print(report)
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
