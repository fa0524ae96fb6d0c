"""One run of one peer on a SQL database: `python benchmarks/peer_tables.py NAME URL ROWS`, in its own environment.

Each as its documentation has it: one worker, a trivial handler, the tasks enqueued before it begins. Prints the pace
from the first tenth of the tasks to the last one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable


class Pace:
    """Ends the process when all tasks have been handled."""

    def __init__(self, rows: int) -> None:
        self._rows, self._handled, self._began = rows, 0, 0.0

    def __call__(self, *_: object, **__: object) -> None:
        self._handled += 1
        if self._handled == self._rows // 10:
            self._began = time.perf_counter()
        elif self._handled == self._rows:
            rate = (self._rows - self._rows // 10) / (time.perf_counter() - self._began)
            os.write(1, f"{json.dumps({'pace': rate})}\n".encode())  # Celery has taken sys.stdout for its log
            os._exit(0)


def celery(url: str, rows: int) -> None:
    """The transport of kombu that is made of SQLAlchemy."""
    from celery import Celery

    app, pace = Celery("peer", broker=f"sqla+{url.replace('postgresql:', 'postgresql+psycopg2:')}"), Pace(rows)
    app.conf.task_ignore_result = True

    @app.task(name="handle")  # type: ignore[untyped-decorator]  # Celery has no types
    def handle(number: int) -> None:
        pace()

    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for number in range(rows):
            handle.apply_async((number,), producer=producer)
    app.worker_main(["worker", "--pool=solo", "--loglevel=ERROR", "--without-gossip", "--without-mingle"])


def huey_sqlite(url: str, rows: int) -> None:
    """Huey's own storage in a file."""
    from huey import SqliteHuey

    _huey(SqliteHuey(filename=url.removeprefix("sqlite:///")), rows)


def huey_sql(url: str, rows: int) -> None:
    """SqlHuey, on peewee."""
    from huey.contrib.sql_huey import SqlHuey

    _huey(SqlHuey(database=url), rows)


def _huey(huey: object, rows: int) -> None:
    pace = Pace(rows)

    @huey.task()  # type: ignore[attr-defined,untyped-decorator]
    def handle(number: int) -> None:
        pace()

    for number in range(rows):
        handle(number)
    huey.create_consumer(workers=1, periodic=False).run()  # type: ignore[attr-defined]


def procrastinate(url: str, rows: int) -> None:
    """Its worker with the default concurrency of one."""
    from procrastinate import App, PsycopgConnector

    app, pace = App(connector=PsycopgConnector(conninfo=url)), Pace(rows)

    @app.task(name="handle")
    async def handle(number: int) -> None:
        pace()

    async def run() -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            await handle.batch_defer_async(*({"number": number} for number in range(rows)))
            await app.run_worker_async(install_signal_handlers=False)

    asyncio.run(run())


def pgqueuer(url: str, rows: int) -> None:
    """By asyncpg, in batches of a hundred."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    pace = Pace(rows)

    async def run() -> None:
        driver = AsyncpgDriver(await asyncpg.connect(url))
        queries = Queries(driver)
        await queries.install()
        await queries.enqueue(["handle"] * rows, [b"1"] * rows, [0] * rows)
        queue = PgQueuer(driver)

        @queue.entrypoint("handle")
        async def handle(job: object) -> None:
            pace()

        await queue.run(batch_size=100)

    asyncio.run(run())


PEERS: dict[str, Callable[[str, int], None]] = {
    "celery": celery,
    "huey_sqlite": huey_sqlite,
    "huey_sql": huey_sql,
    "procrastinate": procrastinate,
    "pgqueuer": pgqueuer,
}

if __name__ == "__main__":
    name, url, rows = sys.argv[1:]
    PEERS[name](url, int(rows))
