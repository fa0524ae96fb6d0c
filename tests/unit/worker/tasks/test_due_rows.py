"""A parked copy of a table's row that a person has tried again: the row as it is then is handled, or nothing is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consumerd import BaseConsumer, Dead
from consumerd.errors import UnstorableError
from consumerd.model.parked import ParkedState
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.testing.running import Run

TASK = "tasks:1"


class World:
    """A file with one row, which a consumer has found dead, and whose copy is parked."""

    def __init__(self, database: Path, **configs: object) -> None:
        self.database = database
        create_table(str(database))
        enqueue(str(database), ["wrong"])
        self.execute("UPDATE tasks SET due_at = 0")  # by the run's clock, which is early
        self.handled: list[object] = []
        handled = self.handled

        class Table(TableSource):
            def open(self, context: SourceContext) -> None:
                super().open(replace(context, options=TableOptions(database=str(database))))

        class Mails(BaseConsumer):
            def handle_task(self, offset: int, record: object) -> object:
                handled.append(record)
                return Dead("no such address") if record == "wrong" else None

        self.run = Run(Mails, source=Table(), configs=configs)
        self.run.until_idle()
        assert (self.states(), set(self.run.dead())) == (["dead"], {TASK})
        self.handled.clear()

    def execute(self, statement: str) -> Sequence[tuple[object, ...]]:
        connection = sqlite3.connect(self.database)
        with connection:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return rows

    def states(self) -> list[object]:
        return [state for (state,) in self.execute("SELECT state FROM tasks")]

    def retry(self) -> None:
        """As a person asks for it."""
        parked = self.run.store.rows[TASK]
        self.run.store.rows[TASK] = replace(parked, state=ParkedState.WAITING, due_at=0.0)
        self.pass_by()

    def pass_by(self) -> None:
        self.run.clock.advance(15)
        self.run.until_idle()

    def why_dropped(self) -> list[object]:
        return [fact.fields["why"] for fact in self.run.facts if fact.name == "copy_dropped"]


@pytest.fixture(params=[1, 4], ids=["one at a time", "in a window"])
def world(state_dir: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(state_dir / "tasks.sqlite", concurrency=request.param)
    yield world
    world.run.source.close(0.0)


def test_a_row_that_was_corrected_is_handled_as_it_is(world: World) -> None:
    world.execute("UPDATE tasks SET payload = '\"right\"'")
    world.retry()
    assert (world.handled, world.states(), world.run.store.rows) == (["right"], ["done"], {})


def test_a_row_that_dies_again_leaves_a_copy_of_what_it_was_then(world: World) -> None:
    world.execute("UPDATE tasks SET payload = '\"wrong\" '")
    world.retry()
    assert (world.handled, world.run.store.rows[TASK].payload) == (["wrong"], b'"wrong" ')


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE tasks SET state = 'done'", "its row is done"),
        ("UPDATE tasks SET state = 'pending', due_at = 1e12", "its row waits as a new task"),
    ],
)
def test_a_row_that_is_done_or_set_back_is_not_handled_and_its_copy_dropped(
    world: World, change: str, why: str
) -> None:
    world.execute(change)
    world.retry()
    assert (world.handled, world.run.store.rows) == ([], {})
    [told] = world.why_dropped()
    assert str(told).startswith(why)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("DELETE FROM tasks", "its row is gone"),
        ("UPDATE tasks SET state = 'held'", "its row has the state 'held'"),
    ],
)
def test_the_copy_of_a_row_of_which_nobody_knows_stays_as_dead(world: World, change: str, why: str) -> None:
    was = world.run.store.rows[TASK]
    world.execute(change)
    world.retry()
    world.retry()
    left = world.run.store.rows[TASK]
    assert (world.handled, left.state, left.payload) == ([], ParkedState.DEAD, b'"wrong"')
    assert left.error.startswith(why)
    assert left.error.endswith(f"; the task has died of: {was.error}")
    assert left.error.count(why) == 1
    told = [str(fact.fields["why"]) for fact in world.run.facts if fact.name == "copy_kept"]
    assert [each.startswith(why) for each in told] == [True, True]


def test_a_copy_that_the_store_refuses_to_keep_as_dead_stays_as_it_was_and_holds_nothing_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise UnstorableError("it takes no such text")

    monkeypatch.setattr(world.run.store, "park_again", refuse)
    world.execute("DELETE FROM tasks")
    world.retry()
    assert (world.run.store.rows[TASK].payload, world.run.store.rows[TASK].state) == (b'"wrong"', ParkedState.WAITING)
    assert "task_unstorable" in {fact.name for fact in world.run.facts}
    assert "store_away" not in {fact.name for fact in world.run.facts}


def test_a_copy_that_was_kept_is_tried_once_its_row_is_there_again(world: World) -> None:
    world.execute("UPDATE tasks SET state = 'held'")
    world.retry()
    world.execute("UPDATE tasks SET state = 'dead', payload = '\"right\"'")
    world.retry()
    assert (world.handled, world.states(), world.run.store.rows) == (["right"], ["done"], {})


def test_a_row_that_another_worker_has_waits_for_what_becomes_of_it(world: World) -> None:
    world.execute("UPDATE tasks SET state = 'claimed', lease = 'other', due_at = 1e12")
    world.retry()
    assert (world.handled, set(world.run.store.rows), world.why_dropped()) == ([], {TASK}, [])
    world.execute("UPDATE tasks SET state = 'done', lease = NULL")
    world.pass_by()
    assert (world.handled, world.run.store.rows, world.why_dropped()) == ([], {}, ["its row is done"])


def test_nothing_is_tried_while_nobody_can_look_at_the_row(world: World) -> None:
    away = world.database.with_suffix(".away")
    world.database.rename(away)
    world.retry()
    assert (world.handled, set(world.run.store.rows)) == ([], {TASK})
    away.rename(world.database)
    world.execute("UPDATE tasks SET payload = '\"right\"'")
    world.pass_by()
    assert (world.handled, world.run.store.rows) == (["right"], {})
