"""`self.transaction()` in a handler: what the loop makes of a task that is done by it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from consumerd.clock import monotonic
from consumerd.consumers import BaseConsumer, KafkaBaseConsumer, TableBaseConsumer
from consumerd.model.outcome import Dead, Retry
from consumerd.model.parked import ParkedState
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.testing import run_consumer
from consumerd.testing.running import Run

PATIENCE_S = 30.0
EFFECT = text("INSERT INTO effects VALUES (:task)")


class Effects(TableBaseConsumer):
    """Its effect is a row; what comes after the block, and before it, is the test's."""

    before: Callable[[], object] = staticmethod(lambda: None)
    after: Callable[[], object] = staticmethod(lambda: None)

    def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
        self.before()
        with self.transaction() as connection:
            connection.execute(EFFECT, {"task": record})
        return self.after()


class OneByOne(Effects):
    def pre_handle_task(self) -> None:
        """One hook overridden is enough for the general loop."""


class Asynchronous(Effects):
    async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # a coroutine is fine
        return super().handle_task(offset, record)


EVERY_LOOP = pytest.mark.parametrize("consumer_class", [Effects, OneByOne, Asynchronous])


@pytest.fixture
def database(state_dir: Path) -> str:
    path = str(state_dir / "tasks.sqlite")
    create_table(path)
    enqueue(path, range(3))
    execute(path, "UPDATE tasks SET due_at = 0")  # by the run's clock, which is early
    execute(path, "CREATE TABLE effects (task)")
    return path


def execute(database: str, statement: str) -> list[Any]:  # of any values
    connection = sqlite3.connect(database)
    try:
        with connection:
            return [value for (value,) in connection.execute(statement)]
    finally:
        connection.close()


def effects(database: str) -> list[Any]:  # as above
    return execute(database, "SELECT task FROM effects ORDER BY task")


def states(database: str) -> list[Any]:  # as above
    return execute(database, "SELECT state FROM tasks ORDER BY id")


@contextmanager
def running(
    consumer_class: type,
    database: str,
    configs: dict[str, object] | None = None,
    **hooks: Any,  # what the handler does besides
) -> Iterator[Run]:
    """A run on the table, to its end."""

    class Table(TableSource):
        def open(self, context: SourceContext) -> None:
            super().open(replace(context, options=TableOptions(database=database)))

    chosen = type("Chosen", (consumer_class,), {name: staticmethod(hook) for name, hook in hooks.items()})
    run = Run(chosen, configs={"database": database, "task_retry_times": 1, **(configs or {})}, source=Table())
    deadline = monotonic() + PATIENCE_S
    try:
        run.until_idle()
        while "claimed" in states(database) and monotonic() < deadline:
            run.turn()
        yield run
    finally:
        run.source.close(0.0)
        run.stop()


def fail(*, when: Callable[[], bool] = lambda: True) -> None:
    if when():
        raise KeyError("late")


@EVERY_LOOP
def test_a_task_is_done_with_its_block(database: str, consumer_class: type) -> None:
    with running(consumer_class, database) as run:
        assert (run.done, effects(database), states(database)) == (3, [0, 1, 2], ["done"] * 3)
        assert not run.told("lease_lost")
        assert run.board.read().has_committed, "each is settled at once, whatever else is in hand"


@EVERY_LOOP
@pytest.mark.parametrize(
    ("after", "error"),
    [
        (fail, "KeyError: 'late'"),
        (lambda: Retry(after=5), "the handler asked for a retry"),
        (lambda: Dead("no"), "the handler gave up: no"),
        (lambda: (yield), "TypeError: handle_task returned a generator, so its body never ran: make it `async def`"),
    ],
)
def test_what_comes_after_the_block_is_told_and_changes_nothing(
    database: str, consumer_class: type, after: Callable[[], object], error: str
) -> None:
    with running(consumer_class, database, after=after) as run:
        assert (run.done, run.dead(), run.waiting()) == (3, {}, {})
        assert (effects(database), states(database)) == ([0, 1, 2], ["done"] * 3)
        told = run.told("failed_after_done")
        assert [str(fact.fields["error"]).startswith(error) for fact in told] == [True] * 3
        assert not run.told("task_failed")


@EVERY_LOOP
def test_an_error_in_the_block_is_a_failed_attempt_and_the_next_one_writes_once(
    database: str, consumer_class: type
) -> None:
    class Fails(consumer_class):  # type: ignore[misc, valid-type]  # a parameter
        @contextmanager
        def transaction(self) -> Iterator[Any]:
            with super().transaction() as connection:
                yield connection
                fail(when=lambda: self.attempt == 1)

    with running(Fails, database) as run:
        assert (run.done, effects(database), len(run.told("task_failed"))) == (3, [0, 1, 2], 3)


@EVERY_LOOP
def test_a_task_that_fails_before_its_block_is_not_taken_for_done(database: str, consumer_class: type) -> None:
    """Nor where it was done before, and somebody has set it back."""
    fails = [False]
    with running(consumer_class, database, before=lambda: fail(when=lambda: fails[0])) as run:
        execute(database, "UPDATE tasks SET state = 'pending', due_at = 0 WHERE id = 3")
        fails[0] = True
        run.until_idle()
        assert (list(run.dead()), states(database)) == (["tasks:3"], ["done", "done", "dead"])


@EVERY_LOOP
def test_a_parked_task_that_is_tried_again_is_done_with_its_row(database: str, consumer_class: type) -> None:
    fails = [True]
    with running(consumer_class, database, before=lambda: fail(when=lambda: fails[0]), after=fail) as run:
        assert (len(run.dead()), states(database)) == (3, ["dead"] * 3)
        fails[0] = False
        execute(database, "UPDATE tasks SET state = 'pending', due_at = 1e12 WHERE id = 2")
        for task_id, row in run.store.rows.items():
            run.store.rows[task_id] = replace(row, state=ParkedState.WAITING, due_at=0.0)
        run.advance(15)
        run.until_idle()
        assert (effects(database), states(database)) == ([0, 2], ["done", "pending", "done"])
        assert run.store.rows == {}
        assert [fact.fields["task"] for fact in run.told("copy_dropped")] == ["tasks:2"]
        assert len(run.told("failed_after_done")) == 2


def test_between_tasks_there_is_none(database: str) -> None:
    with running(Effects, database) as run, pytest.raises(RuntimeError, match="no task is being handled now"):
        run.consumer.transaction()


def test_a_row_that_is_lost_is_nobodys_failure(database: str) -> None:
    """The batch is left, and what is still this worker's comes again."""

    class Robbed(Effects):
        def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
            with self.transaction() as connection:
                connection.execute(EFFECT, {"task": record})
                if record == 1 and not run_again:
                    run_again.append(True)
                    connection.exec_driver_sql("UPDATE tasks SET lease = 'other' WHERE id = 2")
            return None

    run_again: list[bool] = []
    with running(Robbed, database) as run:
        assert (run.dead(), effects(database), states(database)) == ({}, [0, 1, 2], ["done"] * 3)
        assert [fact.fields["task"] for fact in run.told("lease_lost")] == ["tasks:2"]


# Without a table


@pytest.mark.parametrize("after", [fail, lambda: None])
def test_a_test_of_a_consumer_has_its_own_database(database: str, after: Callable[[], object]) -> None:
    chosen = type("Chosen", (Effects,), {"after": staticmethod(after)})
    run = run_consumer(chosen, [7, 8], configs={"database": database})
    assert (run.done, effects(database)) == (2, [7, 8])
    assert len(run.told("failed_after_done")) == 2 * (after is fail)
    run.stop()


def test_without_a_database_there_is_none() -> None:
    run = run_consumer(Effects, [7])
    [error] = run.dead().values()
    assert "self.database needs the key `database` in `configs`" in error


def test_a_source_without_rows_has_none() -> None:
    class Mails(BaseConsumer):
        def iterate_task(self) -> Iterator[tuple[int, object]]:
            yield 0, {}

        def handle_task(self, offset: int, record: object) -> None:
            with self.transaction():
                pass

    [error] = run_consumer(Mails).dead().values()
    assert "use self.database.begin()" in error


# self.database


class Reads(KafkaBaseConsumer):
    def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
        with self.database.begin() as connection:
            connection.execute(EFFECT, {"task": record})
        return None


def test_any_consumer_has_the_database_of_its_key(database: str) -> None:
    run = run_consumer(Reads, [7], configs={"database": f"sqlite:///{database}"})
    assert (run.done, effects(database)) == (1, [7])
    engine = run.consumer.database
    run.stop()
    assert engine.pool.checkedin() == 0


@pytest.mark.parametrize("value", ["its own", None])
def test_a_class_may_set_an_attribute_of_that_name(value: object) -> None:
    class Sets(KafkaBaseConsumer):
        def __init__(self, worker_id: int, **configs: Any) -> None:  # of any value
            super().__init__(worker_id, **configs)
            self.database = value

        def handle_task(self, offset: int, record: object) -> None:
            assert self.database is value

    assert run_consumer(Sets, [7]).done == 1


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("nosql://somewhere/db", "`database` names a database of kind nosql: known are mysql, postgresql, sqlite"),
        ({"host": "db"}, "self.database needs the key `database`"),
        ("mysql://u:secret@host:none/db", "`database` is no URL: write mysql://user:password@host/database"),
    ],
)
def test_what_is_no_database_is_said_in_a_sentence(value: object, sentence: str) -> None:
    [error] = run_consumer(Reads, [7], configs={"database": value}).dead().values()
    assert sentence in error
    assert "secret" not in error


# Several tasks at once


def test_it_belongs_to_the_handlers_own_thread(database: str) -> None:
    class Elsewhere(Effects):
        def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
            with ThreadPoolExecutor() as other:
                return other.submit(super().handle_task, offset, record).result()

    with running(Elsewhere, database) as run:
        told = [
            str(fact.fields["error"]).count("belongs to the handler's own thread") for fact in run.told("task_failed")
        ]
        assert told == [1] * 6
        assert effects(database) == []


def at_once(consumer_class: type, database: str) -> AbstractContextManager[Run]:
    return running(consumer_class, database, {"concurrency": 3})


def test_tasks_in_threads_have_one_each(database: str) -> None:
    with at_once(Effects, database) as run:
        assert (run.done, effects(database), states(database)) == (3, [0, 1, 2], ["done"] * 3)
        assert not run.told("task_failed")
        assert not run.told("lease_lost")


def test_on_one_event_loop_it_is_refused(database: str) -> None:
    with at_once(Asynchronous, database) as run:
        [error] = {str(fact.fields["error"]) for fact in run.told("task_failed")}
        assert error.startswith("RuntimeError: self.transaction() waits for its database, and all tasks of this worker")
        assert (effects(database), states(database)) == ([], ["dead"] * 3)
