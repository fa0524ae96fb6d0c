"""Rows in memory that a query gives, and runs of it, for the tests of queries."""

from __future__ import annotations

from typing import Any

from consumerd import Retry, SQLBaseConsumer
from consumerd.model.shards import Shard
from consumerd.sources.query.source import QuerySource
from consumerd.testing.running import Run


class Rows(SQLBaseConsumer):
    """A table in memory: a handled row is marked, unless the test says otherwise."""

    rows: list[dict[str, Any]]
    marks = True
    raises: list[Exception]

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.handled: list[tuple[int, Any]] = []
        self.parked: list[tuple[Any, object]] = []
        self.queries = 0
        self.raises = []

    def get_next_batch(self) -> list[dict[str, Any]]:
        self.queries += 1
        if self.raises:
            raise self.raises.pop(0)
        return [row for row in self.rows if not row.get("is_done")][:10]

    def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append((offset, record["id"]))
        if record.get("fails"):
            raise ValueError("it failed")
        if record.get("waits"):
            return Retry(after=60)
        record["is_done"] = self.marks
        return None


def rows_of(*rows: dict[str, Any], base: type[Rows] = Rows) -> type[Rows]:
    return type("RowsOfTest", (base,), {"rows": list(rows)})


def run_of(consumer_class: type[Rows], shard: Shard | None = None) -> Run:
    return Run(consumer_class, source=QuerySource(), shard=shard)


def wait_for(run: Run, seconds: float) -> None:
    """Let so much time pass, with the queries that are due in it."""
    end = run.clock.monotonic() + seconds
    while run.clock.monotonic() < end:
        run.turn()
