"""Suspects among the rows of a claim: the other rows do not wait for them, unless the order of the rows counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumerd import BaseConsumer, BatchTask
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.testing.running import Run

ROWS = 6


def run_of(consumer: type, database: Path, records: list[dict[str, Any]], **configs: object) -> Run:
    """Of a table with these rows, of which four are claimed at once."""
    create_table(str(database))
    enqueue(str(database), records)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE tasks SET due_at = 0")  # by the run's clock, which is early

    class Table(TableSource):
        def open(self, context: SourceContext) -> None:
            super().open(replace(context, options=TableOptions(database=str(database), batch_size=4)))

    return Run(consumer, source=Table(), configs=configs)


class World:
    """A table of six rows, and a consumer that keeps which were settled when each was handled."""

    def __init__(self, database: Path, **configs: object) -> None:
        self.database = database
        self.handled: list[tuple[int, int]] = []
        handled, states = self.handled, self.states

        class Orders(BaseConsumer):
            def handle_task(self, offset: int, record: dict[str, int]) -> None:
                handled.append((record["number"], states().count("claimed")))

        self.run = run_of(Orders, database, [{"number": number} for number in range(ROWS)], **configs)

    def states(self) -> Sequence[str]:
        with closing(sqlite3.connect(self.database)) as connection:
            return [state for (state,) in connection.execute("SELECT state FROM tasks ORDER BY id")]


@pytest.fixture(params=[1, 4], ids=["one at a time", "in a window"])
def world(state_dir: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(state_dir / "tasks.sqlite", concurrency=request.param)
    yield world
    world.run.stop()


def test_a_suspect_runs_once_all_that_was_claimed_with_it_is_settled(world: World) -> None:
    world.run.link.suspects.put((("tasks:1", 1, "SIGKILL"), ("tasks:3", 0, "SIGKILL")))
    world.run.until_idle()
    assert sorted(number for number, _ in world.handled) == list(range(ROWS))
    order = [number for number, _ in world.handled]
    claimed = dict(world.handled)
    assert order.index(0) > max(order.index(1), order.index(3)), "row 1 goes behind the others of its claim"
    assert (claimed[0], claimed[2]) == (2, 1), "beside it only the other suspect is claimed"
    assert world.states() == ["done"] * ROWS


class Logins(BaseConsumer):
    """Keeps what the records of each batch say."""

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.batches: list[list[str]] = []

    def handle_batch(self, tasks: list[BatchTask[Any]]) -> None:
        self.batches.append([task.record["says"] for task in tasks])


@pytest.mark.parametrize("keep", ["newest", "oldest", "all"])
def test_a_suspect_does_not_overwrite_a_newer_row_of_its_key_where_rows_are_coalesced(
    state_dir: Path, keep: str
) -> None:
    records = [{"uid": 1, "says": "old"}, {"uid": 1, "says": "new"}, {"uid": 2, "says": "other"}]
    run = run_of(Logins, state_dir / "tasks.sqlite", records, coalesce={"by": "uid", "keep": keep})
    run.link.suspects.put((("tasks:1", 1, "SIGKILL"),))
    run.until_idle()
    assert run.consumer.batches == [["old"], ["new", "other"]]
    run.stop()
