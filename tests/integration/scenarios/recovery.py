"""The pace of a pool on a server before and after the server was in trouble: it must be what it was within ten seconds.

`make recovery RECOVERY="--database mariadb"` is the whole run; the tests have a short one.
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from integration.scenarios.numbered_book import Run
from integration.scenarios.numbered_pool import Load, NumberedPool, Report, exit_code, own_directory
from integration.scenarios.processes import process_number
from servers.database import DatabaseServer
from servers.mariadb import launch_mariadb
from servers.postgres import launch_postgres

TASK_S = 0.02
SECONDS_OF_BACKLOG = 5
TROUBLE_S = 3.0
BACK_WITHIN_S = 10.0
AS_BEFORE = 0.98

_SESSIONS = {
    "mysql": "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND db = database()",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
}
_END = {"mysql": "KILL {0}", "postgresql": "SELECT pg_terminate_backend({0})"}


class Recovery:
    """One run of all troubles, one after the other, each with its pace before and after. They are its methods' names:

    restarted: the server is killed and started again; connections: all are ended, ten times in a second each;
    exhausted: the server has no connection left for anybody; killed: workers are killed, ten a second.
    """

    def __init__(
        self, directory: Path, server: DatabaseServer, database: str, *, workers: int, window_s: float
    ) -> None:
        load = Load(task_s=TASK_S, backlog=int(workers / TASK_S * SECONDS_OF_BACKLOG))
        self.pool = NumberedPool(directory, workers, database, load)
        self._server = server
        self._engine = create_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._window_s = window_s
        self._windows: dict[str, list[int]] = {}
        self._killed: set[int] = set()
        self._troubles: dict[str, Callable[[], None]] = {
            "restarted": self._restart,
            "connections": self._end_connections,
            "exhausted": self._exhaust,
            "killed": self._kill_workers,
        }

    def run(self, troubles: Sequence[str], *, back_within_s: float = BACK_WITHIN_S) -> Report:
        """Bring these about; the report has the complaints that hold on any machine."""
        with self.pool.started(killed=self._killed):
            for name in troubles:
                windows = self._windows[name] = [self._pace()]
                self._troubles[name]()
                self._work(back_within_s)
                windows.append(self._pace())
                self.pool.report.done[name] += 1
        return self.pool.report

    def ratios(self) -> dict[str, float]:
        """For each trouble, the rows that were finished in a window after it by those before."""
        return {
            name: self._finished(after) / max(1, self._finished(before))
            for name, (before, after) in self._windows.items()
        }

    def _finished(self, began_ns: int) -> int:
        end_ns = began_ns + int(self._window_s * 1e9)
        return sum(_ended_between(run, began_ns, end_ns) for run in self.pool.report.runs)

    def _pace(self) -> int:
        began_ns = time.monotonic_ns()
        self._work(self._window_s)
        return began_ns

    def _work(self, seconds: float) -> None:
        """Let the pool work for so long, and keep rows waiting for it."""
        end = time.monotonic() + seconds
        self.pool.fill()
        self.pool.sample()
        while (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, 1.0))
            self.pool.fill()

    def _restart(self) -> None:
        self._server.kill()
        time.sleep(TROUBLE_S)
        self._server.start()

    def _end_connections(self) -> None:
        for _ in range(10):
            with self._engine.connect() as connection:
                _end_all(connection)
            time.sleep(TROUBLE_S / 10)

    def _exhaust(self) -> None:
        with _all_connections(self._engine):
            time.sleep(TROUBLE_S)

    def _kill_workers(self) -> None:
        for _ in range(int(TROUBLE_S * 10)):
            pids = [worker["pid"] for worker in self.pool.pool()["workers"] if worker["pid"] and worker["handled"]]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    pid = random.choice(pids)
                    self._killed.add(process_number(pid))
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)


def _ended_between(run: Run, began_ns: int, end_ns: int) -> bool:
    return run.ended_ns is not None and began_ns <= run.ended_ns < end_ns


def _end_all(connection: Connection) -> None:
    backend = connection.dialect.name
    for session in connection.execute(text(_SESSIONS[backend])).scalars().all():
        with contextlib.suppress(DBAPIError):  # it has left by itself
            connection.execute(text(_END[backend].format(session)))


@contextlib.contextmanager
def _all_connections(engine: Engine) -> Iterator[None]:
    """Have every connection that the server gives; those of others are ended, so that they find none."""
    with engine.connect() as first, contextlib.ExitStack() as taken:
        _end_all(first)
        with contextlib.suppress(DBAPIError):
            while True:
                taken.enter_context(engine.connect())
        yield


@contextlib.contextmanager
def own_server(name: str) -> Iterator[DatabaseServer]:
    """A server of that name, started for this."""
    server = {"mariadb": launch_mariadb, "postgres": launch_postgres}[name]()
    try:
        yield server
    finally:
        server.close()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="recovery")
    parser.add_argument("--database", choices=["mariadb", "postgres"], default="mariadb")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--window", type=float, default=10.0, help="seconds in which the pace is taken")
    options = parser.parse_args(arguments)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-recovery-"), options.database)
    with own_server(options.database) as server, server.fresh_database() as database:
        recovery = Recovery(directory, server, database, workers=options.workers, window_s=options.window)
        report = recovery.run(["restarted", "connections", "exhausted", "killed"])
    for name, ratio in recovery.ratios().items():
        print(f"{name}: {ratio:.3f} of the pace before", flush=True)
        if ratio < AS_BEFORE:
            report.complaints.append(f"after {name} the pace was {ratio:.3f} of what it was")
    return exit_code(report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
