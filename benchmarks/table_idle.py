"""An idle pool on a claimed table: how soon it begins what arrives, and what it costs while nothing does."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.brokers import database_server
from benchmarks.figures import Better, Figure, percentile
from benchmarks.proc import running_ns, tree
from benchmarks.running import RunningMaster
from consumerd.sources.table.schema import create_table, wake

TASKS = 100
WITHIN_MS = 50.0
SETTLE_S = 30.0
REST_S = 60.0
POOLS = (1, 16)
_PENDING = "INSERT INTO tasks (payload) VALUES ('{number}')"


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a program adds a task: what it executes in the insert's transaction, and calls afterwards."""

    what: str
    told: tuple[str, ...] = ()
    rings: bool = False
    bar: float | None = WITHIN_MS


SQLITE = (Way("any program"), Way("`wake` on the same host", rings=True))
MARIADB = (Way("`wake` on the same host", rings=True), Way("nobody tells", bar=None))
POSTGRES = (
    Way("NOTIFY", told=("SELECT pg_notify('consumerd', 'tasks')",)),
    Way("`wake` on the same host", rings=True),
    Way("nobody tells", bar=None),
)


def figures() -> Iterator[Figure]:
    """A file, MariaDB and PostgreSQL, pools of one and of sixteen."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _of("SQLite", str(Path(folder) / "tasks.sqlite"), SQLITE)
    for name, ways in (("MariaDB", MARIADB), ("PostgreSQL", POSTGRES)):
        with database_server(name) as server, server.fresh_database() as url:
            yield from _of(name, url, ways)


def _of(name: str, database: str, ways: tuple[Way, ...]) -> Iterator[Figure]:
    create_table(database)
    with closing(Program(database)) as program:
        for workers in POOLS:
            configs = {"database": database}
            with RunningMaster.of_pool("benchmarks.consumers:Stamping", workers, configs) as master:
                stamps = Stamps(master.directory / "stamps")
                program.insert(Way("to begin with"), 0)
                stamps.of(0)
                time.sleep(SETTLE_S)
                for way in ways:
                    yield _latency(f"{name}, idle pool of {workers}, {way.what}", way, program, stamps)
                if workers == max(POOLS):
                    time.sleep(SETTLE_S)
                    yield from _cost(f"{name}, idle pool of {workers}", master, program)


def _latency(what: str, way: Way, program: Program, stamps: Stamps) -> Figure:
    count = TASKS if way.bar is not None else TASKS // 5
    times = []
    for _ in range(count):
        time.sleep(random.uniform(0.2, 0.6))
        number = stamps.next_number()
        committed_ns = program.insert(way, number)
        times.append((stamps.of(number) - committed_ns) / 1e6)
    middle, late = percentile(times, 50), percentile(times, 99)
    said = f"p50 {middle:.1f} ms, p99 {late:.1f} ms"
    return Figure(f"{what}: from COMMIT to the handler", said, f"{count} tasks", late, way.bar, Better.LOWER)


def _cost(what: str, master: RunningMaster, program: Program) -> Iterator[Figure]:
    pids = tree(master.process.pid)
    asked, spent = program.questions(), sum(map(running_ns, pids))
    time.sleep(REST_S)
    cpu_ms = (sum(map(running_ns, pids)) - spent) / 1e6 / REST_S
    if asked is not None:
        queries = (program.questions() or 0) - asked
        rate = queries / REST_S
        yield Figure(f"{what}: statements a second", f"{rate:.2f}", f"{queries} in {REST_S:g} s", rate, 1, Better.LOWER)
    yield Figure(f"{what}: CPU of the tree a second", f"{cpu_ms:.1f} ms", "", cpu_ms, None)


class Program:
    """Whatever adds tasks, on a connection of its own that is open."""

    def __init__(self, database: str) -> None:
        self._database = database
        if "://" not in database:
            file = sqlite3.connect(database, isolation_level=None)
            self._execute: Callable[[str], Any] = file.execute
            self.close: Callable[[], None] = file.close
            self._kind = "sqlite"
            return
        from sqlalchemy import NullPool, create_engine

        connection = create_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect()
        self._execute, self.close, self._kind = connection.exec_driver_sql, connection.close, connection.dialect.name
        if self._kind == "postgresql":
            self._execute("SET synchronous_commit = on")

    def insert(self, way: Way, number: int) -> int:
        """Add a task; when its COMMIT was sent, in nanoseconds."""
        self._execute("BEGIN")
        self._execute(_PENDING.format(number=number))
        for statement in way.told:
            self._execute(statement)
        committed_ns = time.monotonic_ns()
        self._execute("COMMIT")
        if way.rings:
            wake(self._database)
        return committed_ns

    def questions(self) -> int | None:
        """How many statements the server has been sent; None where it does not count."""
        if self._kind == "mysql":
            return int(self._execute("SHOW GLOBAL STATUS LIKE 'Questions'").fetchone()[1])
        if self._kind == "postgresql":
            counted = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            time.sleep(2.0)  # servers of sessions report once a second
            return int(self._execute(counted).fetchone()[0])
        return None


class Stamps:
    """The file in which the workers write when they began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def of(self, number: int) -> int:
        """When this task began, once it has."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            lines = self._path.read_text().splitlines() if self._path.exists() else []
            if lines and lines[-1].startswith(f"{number} ") and len(lines[-1].split()) == 2:
                return int(lines[-1].split()[1])
            time.sleep(0.003)
        raise TimeoutError(f"task {number} was not handled")
