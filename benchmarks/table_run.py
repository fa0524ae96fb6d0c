"""One run of one loop, in a process of its own: `python -m benchmarks.table_run LOOP DATABASE ROWS HANDLER`.

DATABASE is the path of a SQLite file, or the URL of a server. Both loops settle a batch and claim the next in one
transaction, on the same driver, with the same columns.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.handlers import HANDLERS, Handler, consume
from benchmarks.runs import Stopwatch, Watch
from consumerd.sources.table.options import is_server
from consumerd.sources.table.schema import create_table, enqueue

BATCH = 100
LEASE_S = 30.0

_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "mysql": "UNIX_TIMESTAMP(NOW(6))",
    "postgresql": "extract(epoch from statement_timestamp())",
}
_CLAIM = """SELECT id, payload, attempts, first_at FROM {table} WHERE state = '{state}' AND due_at <= {now}
ORDER BY due_at LIMIT {limit} FOR UPDATE SKIP LOCKED"""
_TAKE = "UPDATE {table} SET state = 'claimed', due_at = {now} + 30, lease = '{token}' WHERE id IN ({ids})"
_QUICK = """UPDATE {table} SET state = 'claimed', due_at = {now} + 30, lease = '{token}' WHERE rowid IN (
SELECT rowid FROM {table} WHERE state = 'pending' AND due_at <= {now} ORDER BY due_at LIMIT {limit}) RETURNING *"""
_DONE = """UPDATE {table} SET state = 'done', due_at = {now}, lease = NULL, settled_at = {now}
WHERE lease = '{token}' AND id IN ({ids})"""


class Bare:
    """What a careful person writes by hand, on a driver's own connection."""

    def __init__(
        self,
        dialect: str,
        cursor: Any,
        begin: str,
        commit: Callable[[], None],
        table: str,
        deadlock: type[Exception] | tuple[()] = (),
    ) -> None:
        """deadlock: the error after which the transaction is rolled back and tried again; ours does the same."""
        self._execute, self._fetch = cursor.execute, cursor.fetchall
        self._dialect, self._begin, self._commit, self._deadlock = dialect, begin, commit, deadlock
        self._parts = {"table": table, "now": _NOW[dialect], "limit": BATCH, "token": uuid.uuid4().hex}

    def run(self, handler: Handler, watch: Watch) -> None:
        handled: list[int] = []
        count = 0
        while True:
            try:
                rows = self._turn(handled)
            except self._deadlock:
                self._execute("ROLLBACK")
                continue
            count += len(handled)
            if watch.passed(count):
                return
            for index, row in enumerate(rows):
                handler(offset=index, record=orjson.loads(row[1]))
            handled = [row[0] for row in rows]

    def _turn(self, handled: list[int]) -> list[Any]:
        if self._begin:
            self._execute(self._begin)
        if handled:
            self._run(_DONE, ids=_listed(handled))
        rows = self._claimed()
        self._commit()
        return rows

    def _claimed(self) -> list[Any]:
        if self._dialect == "sqlite":
            self._run(_QUICK)
            return list(self._fetch())
        self._run(_CLAIM, state="claimed")
        rows = list(self._fetch())
        if len(rows) < BATCH:
            self._run(_CLAIM, state="pending")
            rows += self._fetch()
        self._run(_TAKE, ids=_listed([row[0] for row in rows]))
        return rows

    def _run(self, statement: str, **parts: object) -> None:
        self._execute(statement.format(**self._parts, **parts))


def run_bare(database: str, table: str, handler: Handler, watch: Watch) -> None:
    """The bare loop: no lock file, no other reader, no line of SQLAlchemy."""
    if not is_server(database):
        file = sqlite3.connect(database, isolation_level=None)
        file.execute("PRAGMA synchronous=FULL")
        Bare("sqlite", file.cursor(), "BEGIN IMMEDIATE", lambda: _nothing(file.execute("COMMIT")), table).run(
            handler, watch
        )
        return
    from sqlalchemy import make_url

    url = make_url(database)
    where = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    if url.get_backend_name() == "mysql":
        import pymysql

        mysql = pymysql.connect(**where, database=url.database)  # type: ignore[arg-type]  # a URL may leave them out
        cursor = mysql.cursor()
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        Bare("mysql", cursor, "", mysql.commit, table, pymysql.OperationalError).run(handler, watch)
    else:
        import psycopg

        postgres = psycopg.connect(**where, dbname=url.database, prepare_threshold=None)  # type: ignore[arg-type]  # as above
        Bare("postgresql", postgres.cursor(), "", postgres.commit, table).run(handler, watch)


def run_consumerd(database: str, table: str, handler: Handler, watch: Watch) -> None:
    """A consumer of ours in the foreground."""
    from consumerd import TableBaseConsumer

    consume(TableBaseConsumer, handler, watch, {"database": database, "table": table, "batch_size": BATCH})


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids)) or "NULL"


def _nothing(_: object) -> None:
    """Of what answers something."""


LOOPS = {"bare": run_bare, "consumerd": run_consumerd}


def main() -> None:
    loop, database, rows, handler = sys.argv[1:]
    table = f"run_{uuid.uuid4().hex[:12]}"
    create_table(database, table)
    login = {"platform": 1, "uid": 123_456_789, "app_id": 100_001, "now": 1_700_000_000}
    for _ in range(int(rows) // 10_000):
        enqueue(database, [login] * 10_000, table)
    watch = Stopwatch(int(rows))
    run = LOOPS[loop]
    time.sleep(1.0)  # what was written is on the disk, and no part of the run
    run(database, table, HANDLERS[handler], watch)
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
