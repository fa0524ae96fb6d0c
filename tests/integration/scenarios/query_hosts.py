"""A query on three hosts that share a parking store: one is cut off from it, one is frozen, and both come back.

The third handles their rows, and what they had in hand is repeated at most; afterwards all have their parts again.
`make hosts HOSTS="--database mariadb"` is the whole run, of five rounds; the tests have one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from consumerd.errors import ConsumerdError
from integration.scenarios.divided_rows import Rows
from integration.scenarios.kills import database_named
from integration.scenarios.numbered_book import complaints
from integration.scenarios.numbered_pool import own_directory
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import status
from servers.proxy import Proxy, between
from servers.waiting import wait_until

HOSTS = 3
WORKERS = 2
TASK_S = 0.02
MANY = 200
DEADLINE_S = 90.0


@dataclass
class Report:
    """How it went. complaints: of nothing where it is as it should be."""

    rows: int = 0
    runs: int = 0
    taken_over_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        taken_over, back = (" ".join(f"{each:.1f}" for each in times) for times in (self.taken_over_s, self.back_s))
        return (
            f"{self.runs} runs of {self.rows} rows; the third host had done all after {taken_over} s, all worked again "
            f"after {back} s; {self.complaints or 'no complaints'}"
        )


class Hosts:
    """The masters, each with a state directory and a way to the parking store of its own."""

    def __init__(self, directory: Path, database: str, seed: int) -> None:
        self._directory, self._database = directory, database
        self._random = random.Random(seed)
        self._rows = Rows(directory, database)
        self._stack = contextlib.ExitStack()
        self._masters: list[Running] = []
        self._proxies: list[Proxy] = []
        self._frozen: set[int] = set()
        self.report = Report()

    def run(self, rounds: int) -> Report:
        """So many times one is cut off and another frozen; then judge what the book says."""
        with self._stack:
            for host in range(HOSTS):
                self._start(host)
            self._wait(self._all_work(), "all at work")
            for _ in range(rounds):
                self._separate(*self._random.sample(range(HOSTS), 2))
            self._wait(self._is_done, "the rest")
            for host, master in enumerate(self._masters):
                if code := master.stop():
                    self.report.complaints.append(f"host {host} left with {code}{master.tail()}")
        runs = self._rows.runs()
        self.report.runs, self.report.rows = len(runs), self._rows.count
        numbers = range(self._rows.count)
        found = complaints(runs, numbers, killed=(), frozen=self._frozen, most_repeats=rounds)
        self.report.complaints += found
        return self.report

    def _start(self, host: int) -> None:
        parking, proxy = self._stack.enter_context(between(self._database))
        folder = self._directory / f"host{host}"
        master = running(
            self._rows.configure(folder, WORKERS, TASK_S),
            state_dir=folder / "state",
            log=self._directory / f"host{host}.log",
            env=environment(),
            parking=parking,
        )
        self._masters.append(self._stack.enter_context(master))
        self._proxies.append(proxy)

    def _separate(self, cut_off: int, frozen: int) -> None:
        pids = self._masters[frozen].descendants()
        self._frozen |= pids
        self._proxies[cut_off].cut()
        _signal(pids, signal.SIGSTOP)
        self._rows.add(MANY)
        self.report.taken_over_s.append(self._wait(self._is_done, "the rows of those that are lost"))
        self._rows.add(MANY)
        _signal(pids, signal.SIGCONT)
        self._proxies[cut_off].mend()
        self.report.back_s.append(self._wait(self._all_work(), "all at work again"))

    def _is_done(self) -> bool:
        return self._rows.waiting() == 0

    def _all_work(self) -> Callable[[], bool]:
        """Whether all workers have handled rows that came after now; it sees to it that there are some."""
        since = self._rows.count

        def look() -> bool:
            if self._rows.waiting() < MANY:
                self._rows.add(MANY)
            pids = self._pids()
            return len(pids) == HOSTS * WORKERS and pids <= self._rows.at_work(since)

        return look

    def _pids(self) -> set[int]:
        with contextlib.suppress(ConsumerdError):  # a master that is not up yet
            pools = [pool for master in self._masters for pool in status(master)["pools"]]
            return {worker["pid"] for pool in pools for worker in pool["workers"] if worker["state"] == "running"}
        return set()

    def _wait(self, condition: Callable[[], bool], what: str) -> float:
        """For how long it was waited."""
        began = time.monotonic()
        wait_until(condition, DEADLINE_S, lambda: what + "".join(master.tail() for master in self._masters))
        return time.monotonic() - began


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="hosts")
    parser.add_argument("--database", choices=["mariadb", "postgres"], default="postgres")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args(arguments)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-hosts-"), f"seed {options.seed}")
    with database_named(options.database) as database:
        assert database is not None
        report = Hosts(directory, database, options.seed).run(options.rounds)
    print(report)
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
