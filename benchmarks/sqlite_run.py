"""One run of one loop, in a process of its own: `python -m benchmarks.sqlite_run LOOP FOLDER ROWS HANDLER`.

Both loops settle a batch and claim the next in one transaction, with the same statements and pragmas.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import uuid
from pathlib import Path

import orjson

from benchmarks.handlers import HANDLERS, Handler, consume
from benchmarks.runs import Stopwatch
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.statements import Statements

BATCH = 100
LEASE_S = 30.0


def run_bare(path: Path, handler: Handler, watch: Stopwatch) -> None:
    """What a careful person writes by hand, for one process: no lock file, no other reader."""
    sql = Statements(TableOptions(database=str(path), table="tasks"))
    claim = sql.claims.quick[False]
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA synchronous=FULL")
    handled: list[tuple[int, bytes]] = []
    count, token = 0, uuid.uuid4().hex
    while True:
        now = time.time()
        database.execute("BEGIN IMMEDIATE")
        database.executemany(sql.done.text, [(now, row_id, token) for row_id, _ in handled])
        rows = database.execute(claim.text, (now, LEASE_S, token, now, BATCH, now, BATCH, BATCH)).fetchall()
        database.execute("COMMIT")
        count += len(handled)
        if watch.passed(count):
            return
        for index, row in enumerate(rows):
            handler(offset=index, record=orjson.loads(row[1]))
        handled = [(row[0], row[1]) for row in rows]


def run_consumerd(path: Path, handler: Handler, watch: Stopwatch) -> None:
    """A consumer of ours in the foreground."""
    from consumerd import TableBaseConsumer

    consume(TableBaseConsumer, handler, watch, {"database": str(path), "table": "tasks", "batch_size": BATCH})


def main() -> None:
    loop, folder, rows, handler = sys.argv[1:]
    path = Path(folder) / f"{uuid.uuid4().hex}.sqlite"
    create_table(str(path), "tasks")
    login = {"platform": 1, "uid": 123_456_789, "app_id": 100_001, "now": 1_700_000_000}
    enqueue(str(path), (login for _ in range(int(rows))), "tasks")
    watch = Stopwatch(int(rows))
    run = {"bare": run_bare, "consumerd": run_consumerd}[loop]
    run(path, HANDLERS[handler], watch)
    path.unlink()
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
