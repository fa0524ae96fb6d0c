"""Workers killed ten times a second, on a claimed table of any database: nothing lost, no row twice at once.

`make kills KILLS="--database mariadb"` is the whole run, of ten minutes; the tests have a short one. Each task is
settled by itself, so that a kill costs one row at most. With `--effects` each has an effect in the database, which is
to be there once; with `--concurrency` a worker runs several of them at once.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from integration.scenarios.numbered_book import Run
from integration.scenarios.numbered_pool import Load, NumberedPool, Report, exit_code, own_directory
from integration.scenarios.processes import process_number

LOAD = Load(task_s=0.005, max_unsettled=1, backlog=10_000)
WITH_EFFECTS = Load(task_s=0.005, backlog=2_000, has_effects=True, consumer="NumberedEffects")
"""Each row has an effect, in the transaction that settles it: there is one at the end, whatever was killed."""
BY_QUERY = replace(WITH_EFFECTS, consumer="NumberedQuery")
BESIDE = replace(LOAD, backlog=2_000, is_beside=True)
"""The claims stand beside the table."""
LOOKS_EVERY_S = 2.0
"""So seldom that it disturbs nobody: to count the rows that wait is to read the table."""

MOST_REPEATS_A_KILL = 0.1
TAKEN_OVER_WITHIN_S = 1.0


class Kills:
    """One run."""

    def __init__(
        self, directory: Path, *, workers: int, seed: int, database: str | None = None, load: Load = LOAD
    ) -> None:
        self.pool = NumberedPool(directory, workers, database, load)
        self._random = random.Random(seed)
        self._killed_at_ns: dict[int, int] = {}

    def run(self, seconds: float, *, kills_a_second: float, most: float = math.inf) -> Report:
        """Kill for so long, and at most so many; the report has the complaints that hold on any machine."""
        killed: set[int] = set()
        with self.pool.started(killed=killed):
            next_kill = next_look = time.monotonic()
            end = next_kill + seconds
            while (now := time.monotonic()) < end and len(killed) < most:
                if now >= next_look:
                    next_look += LOOKS_EVERY_S
                    self.pool.fill()
                    self.pool.sample()
                next_kill += 1 / kills_a_second
                killed |= self._kill()
                time.sleep(max(0.0, next_kill - time.monotonic()))
        report = self.pool.report
        report.done["kill"] = len(killed)
        return report

    def taken_over_s(self) -> list[float]:
        """How long after its kill each row that a killed worker had was run again, in order of length."""
        by_number: dict[int, list[Run]] = {}
        for run in self.pool.report.runs:
            by_number.setdefault(run.number, []).append(run)
        times = []
        for runs in by_number.values():
            for earlier, later in itertools.pairwise(runs):
                if earlier.ended_ns is None and earlier.pid in self._killed_at_ns:
                    times.append((later.began_ns - self._killed_at_ns[earlier.pid]) / 1e9)
        return sorted(times)

    def _kill(self) -> set[int]:
        """Kill a worker that has settled a task: those that die before they did end the pool, as they should."""
        pids = [worker["pid"] for worker in self.pool.pool()["workers"] if worker["pid"] and worker["handled"]]
        if not pids:
            return set()
        pid = self._random.choice(pids)
        try:
            process = process_number(pid)
            self._killed_at_ns[process] = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return set()
        return {process}

    def judge_pace(self) -> None:
        """Complain of what a machine with nothing else to do should reach."""
        report = self.pool.report
        kills = len(self._killed_at_ns)
        if report.repeats > MOST_REPEATS_A_KILL * kills:
            report.complaints.append(f"{report.repeats} finished rows came again in {kills} kills")
        times = self.taken_over_s()
        late = times[int(len(times) * 0.99)] if times else 0.0
        median = times[len(times) // 2] if times else 0.0
        print(
            f"{len(times)} rows of killed workers ran again after {median:.3f} s (median), {late:.3f} s (p99)",
            flush=True,
        )
        if late > TAKEN_OVER_WITHIN_S:
            report.complaints.append(f"a killed worker's row was run again after {late:.2f} s at p99")


@contextlib.contextmanager
def database_named(name: str) -> Iterator[str | None]:
    """The URL of an empty database on a server of that name, started for it; None for `sqlite`."""
    from servers.mariadb import launch_mariadb
    from servers.postgres import launch_postgres

    launch = {"mariadb": launch_mariadb, "postgres": launch_postgres}.get(name)
    if launch is None:
        yield None
        return
    server = launch()
    try:
        with server.fresh_database() as url:
            yield url
    finally:
        server.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="kills")
    parser.add_argument("--database", choices=["sqlite", "mariadb", "postgres"], default="mariadb")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--kills", type=float, default=10.0, help="a second")
    parser.add_argument("--most", type=float, default=math.inf, help="end after so many kills")
    parser.add_argument("--out", help="keep every run of a row there, one JSON array a line")
    parser.add_argument("--effects", choices=["table", "query"], help="rows with an effect each, by self.transaction()")
    parser.add_argument("--beside", action="store_true", help="claims in a table of their own")
    parser.add_argument("--concurrency", type=int, default=1, help="so many rows at once in each worker, with effects")
    options = parser.parse_args(arguments)
    if options.concurrency > 1 and not options.effects:
        parser.error("--concurrency is for rows with --effects: a kill repeats as many others as run at once")
    load = {None: BESIDE if options.beside else LOAD, "table": WITH_EFFECTS, "query": BY_QUERY}[options.effects]
    load = replace(load, concurrency=options.concurrency)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-kills-"), f"seed {options.seed}")
    with database_named(options.database) as database:
        kills = Kills(directory, workers=options.workers, seed=options.seed, database=database, load=load)
        report = kills.run(options.minutes * 60, kills_a_second=options.kills, most=options.most)
        if not options.effects:
            kills.judge_pace()
    if options.out:
        with Path(options.out).open("w") as out:
            out.writelines(f"{json.dumps([run.number, run.pid, run.began_ns, run.ended_ns])}\n" for run in report.runs)
    return exit_code(report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
