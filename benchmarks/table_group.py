"""Several workers on one claimed table, and what else slows claims down: rows that wait, a snapshot that is held open.

`python -m benchmarks.table_group LOOP DATABASE TABLE BOOK` is one worker. It writes into BOOK when it is ready and when
it has handled how many, waits for a file beside it, and runs until it is told to end.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.brokers import database_server
from benchmarks.figures import Better, Figure, ratio_of_medians
from benchmarks.handlers import HANDLERS
from benchmarks.table_run import LOOPS
from consumerd.sources.table.options import is_server
from consumerd.sources.table.schema import create_table, enqueue

PAIRS = 4
ROWS = 60_000
FEW = 10_000
MANY = 10_000_000
SOME = 200_000
"""Instead of ten million, where there is little time."""
LOGIN = {"platform": 1, "uid": 123_456_789, "app_id": 100_001, "now": 1_700_000_000}
ENDS_WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """workers: how many; rows: how many wait; measured: of how many the pace is taken; snapshot: is one open?"""

    workers: int = 1
    rows: int = ROWS
    measured: int = ROWS
    snapshot: bool = False


def figures(servers: tuple[str, ...] = ("SQLite", "MariaDB", "PostgreSQL")) -> Iterator[Figure]:
    """Workers beside as many bare loops; and a snapshot that is held open."""
    for name, database in _databases(servers):
        yield from _groups(name, database)
        yield _snapshot(name, database)


def waiting(rows: int = MANY) -> Iterator[Figure]:
    """What a claim costs where so many rows wait, beside ten thousand."""
    for name, database in _databases(("MariaDB", "PostgreSQL", "SQLite")):
        few = Load(rows=FEW, measured=FEW)
        paces = [_pace("consumerd", database, load) for load in [replace(few, rows=rows), few] * PAIRS]
        ratio = ratio_of_medians(paces[1::2], paces[::2])
        said = f"{statistics.median(paces[::2]):,.0f}/s"
        beside = f"with {FEW:,} {statistics.median(paces[1::2]):,.0f}/s"
        yield Figure(f"{name}, {rows:,} rows wait: cost of a claim", said, beside, ratio, 1.5, Better.LOWER)


def some_waiting() -> Iterator[Figure]:
    """The same with fewer rows."""
    yield from waiting(SOME)


def _databases(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        with ExitStack() as open_:
            if name == "SQLite":
                yield name, str(Path(open_.enter_context(tempfile.TemporaryDirectory())) / "tasks.sqlite")
            else:
                yield name, open_.enter_context(open_.enter_context(database_server(name)).fresh_database())


def _groups(name: str, database: str) -> Iterator[Figure]:
    ours: dict[int, list[float]] = {}
    for workers in (1, 4, 16):
        paces: dict[str, list[float]] = {"bare": [], "consumerd": []}
        for loop in ["bare", "consumerd", "consumerd", "bare"] * ((PAIRS + 1) // 2):
            paces[loop].append(_pace(loop, database, Load(workers)))
        ours[workers] = paces["consumerd"]
        said, beside = (f"{statistics.median(paces[loop]):,.0f}/s" for loop in ("consumerd", "bare"))
        ratio = ratio_of_medians(paces["consumerd"], paces["bare"])
        yield Figure(f"{name}, {workers} workers", said, f"as many bare loops {beside}", ratio, 0.9)
    ratio = ratio_of_medians(ours[16], ours[4])
    yield Figure(f"{name}, 16 workers beside 4", f"{statistics.median(ours[16]):,.0f}/s", "", ratio, 1.0)


def _snapshot(name: str, database: str) -> Figure:
    held, free = Load(4, snapshot=True), Load(4)
    paces = [_pace("consumerd", database, load) for load in [held, free] * PAIRS]
    ratio = ratio_of_medians(paces[::2], paces[1::2])
    said, beside = f"{statistics.median(paces[::2]):,.0f}/s", f"without {statistics.median(paces[1::2]):,.0f}/s"
    return Figure(f"{name}, 4 workers, a snapshot held open", said, beside, ratio, 0.95)


def _pace(loop: str, database: str, load: Load) -> float:
    """Rows a second, from the first tenth of those that are measured to the ninth."""
    table = f"run_{uuid.uuid4().hex[:12]}"
    create_table(database, table)
    with closing(_Administrator(database)) as administrator, tempfile.TemporaryDirectory() as folder:
        administrator.fill(table, load.rows)
        book = Path(folder) / "book"
        book.touch()
        command = [sys.executable, "-m", "benchmarks.table_group", loop, database, table, str(book)]
        with administrator.snapshot(table) if load.snapshot else ExitStack():
            workers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(load.workers)]
            try:
                pace = _watched(book, load, workers)
            finally:
                for worker in workers:
                    worker.kill()
                    worker.wait()
        administrator.execute(f"DROP TABLE {table}")
    return pace


def _watched(book: Path, load: Load, workers: list[subprocess.Popen[bytes]]) -> float:
    """Let them go once all are ready, and see how they come on."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < deadline:
        marks = [line.split() for line in book.read_text().splitlines(keepends=True) if line.endswith("\n")]
        counts = sorted((int(when), int(rows)) for when, rows in marks if rows != "0")
        if len(marks) - len(counts) == len(workers):
            book.with_name("go").touch()
        if any(worker.poll() is not None for worker in workers):
            raise RuntimeError("a worker has ended")
        if sum(rows for _, rows in counts) >= 0.92 * load.measured:
            return pace_of(counts, load.measured)
        time.sleep(0.1)
    raise TimeoutError(f"{load} was not done")


def pace_of(counts: list[tuple[int, int]], measured: int) -> float:
    """Rows a second, from a tenth to nine tenths of those measured. counts: (when in ns, how many more), in order."""
    total, first = 0, None
    for when, rows in counts:
        total += rows
        if first is None and total >= 0.1 * measured:
            first = (when, total)
        elif first is not None and total >= 0.9 * measured:
            return (total - first[1]) / (when - first[0]) * 1e9
    raise AssertionError("nobody came so far")


class _Administrator:
    """Fills tables, and holds snapshots open."""

    def __init__(self, database: str) -> None:
        self._database = database
        self.execute, self.close = self._connected()

    def _connected(self) -> tuple[Callable[[str], Any], Callable[[], None]]:
        if not is_server(self._database):
            file = sqlite3.connect(self._database, isolation_level=None, timeout=60)
            return file.execute, file.close
        from sqlalchemy import NullPool, create_engine

        engine = create_engine(self._database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        connection = engine.connect()
        return connection.exec_driver_sql, connection.close

    def fill(self, table: str, rows: int) -> None:
        """By doubling, which every database knows."""
        enqueue(self._database, [LOGIN] * min(rows, FEW), table)
        filled = min(rows, FEW)
        while filled < rows:
            more = min(filled, rows - filled)
            self.execute(f"INSERT INTO {table} (payload) SELECT payload FROM {table} LIMIT {more}")
            filled += more

    @contextmanager
    def snapshot(self, table: str) -> Iterator[None]:
        """A transaction that has read the table, and goes on."""
        execute, close = self._connected()
        is_mysql = self._database.startswith("m")
        if is_mysql:
            execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        execute("BEGIN" if not self._database.startswith("p") else "BEGIN ISOLATION LEVEL REPEATABLE READ")
        execute(f"SELECT count(*) FROM {table}").fetchall()
        try:
            yield
        finally:
            close()


class _Book:
    """Writes down how many more are handled, and when."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._before = 0
        self.write(0)

    def write(self, rows: int) -> None:
        os.write(self._descriptor, f"{time.monotonic_ns()} {rows}\n".encode())

    def passed(self, handled: int) -> bool:
        if handled > self._before:
            self.write(handled - self._before)
            self._before = handled
        return False


def main() -> None:
    loop, database, table, path = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    book = _Book(path)
    while not Path(path).with_name("go").exists():
        time.sleep(0.01)
    LOOPS[loop](database, table, HANDLERS["nothing"], book)


if __name__ == "__main__":
    main()
