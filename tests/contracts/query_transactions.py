"""What a query's `self.transaction()` must do on every database: subclass the suite, give it a `database`.

Each handler's effect is a row of the table `effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from consumerd import SQLBaseConsumer
from consumerd.database.engine import open_engine
from consumerd.sources.query.source import QuerySource
from consumerd.testing.running import Run

MARK = text("UPDATE mails SET state = 'done' WHERE id = :id AND state <> 'done'")


class Mails(SQLBaseConsumer):
    """What it does besides is the test's."""

    within: Callable[[Connection], object] = staticmethod(lambda connection: None)
    after: Callable[[], object] = staticmethod(lambda: None)

    def get_next_batch(self) -> list[Any]:  # SQLAlchemy's rows
        with self.database.connect() as connection:
            return list(connection.execute(text("SELECT id, state FROM mails WHERE state <> 'done' ORDER BY id")))

    def handle_task(self, offset: int, record: Any) -> object:  # as above
        with self.transaction() as connection:
            connection.execute(text("INSERT INTO effects VALUES (:id)"), {"id": record.id})
            self.within(connection)
        return self.after()

    def mark_done(self, record: Any, connection: Connection) -> int:  # as above
        return connection.execute(MARK, {"id": record.id}).rowcount


class QueryTransactionsContract:
    """The suite."""

    @pytest.fixture
    def engine(self, database: str) -> Iterator[Engine]:
        engine = open_engine(database)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE mails (id INTEGER PRIMARY KEY, state VARCHAR(9))"))
            connection.execute(text("CREATE TABLE effects (mail INTEGER)"))
            connection.execute(text("INSERT INTO mails VALUES (1, 'new'), (2, 'new'), (3, 'new')"))
        yield engine
        engine.dispose()

    def ask(self, engine: Engine, statement: str) -> list[object]:
        with engine.begin() as connection:
            return list(connection.execute(text(statement)).scalars())

    def effects(self, engine: Engine) -> list[object]:
        return self.ask(engine, "SELECT mail FROM effects ORDER BY mail")

    def states(self, engine: Engine) -> list[object]:
        return self.ask(engine, "SELECT state FROM mails ORDER BY id")

    @contextmanager
    def running(self, database: str, base: type = Mails, **more: Any) -> Iterator[Run]:  # members of the class
        chosen = type("Chosen", (base,), {name: staticmethod(each) for name, each in more.items()})
        run = Run(chosen, configs={"database": database, "task_retry_times": 1}, source=QuerySource())
        run.until_idle()
        yield run
        run.stop()

    def test_effect_and_mark_are_committed_together(self, database: str, engine: Engine) -> None:
        with self.running(database) as run:
            assert (run.done, self.effects(engine), self.states(engine)) == (3, [1, 2, 3], ["done"] * 3)
            assert run.store.rows == {}

    def test_the_handler_may_mark_its_row_itself(self, database: str, engine: Engine) -> None:
        class Marks(Mails):
            mark_done = SQLBaseConsumer.mark_done  # type: ignore[assignment]  # as if it had none

            def handle_task(self, offset: int, record: Any) -> None:  # SQLAlchemy's row
                with self.transaction() as connection:
                    connection.execute(text("INSERT INTO effects VALUES (:id)"), {"id": record.id})
                    connection.execute(MARK, {"id": record.id})

        with self.running(database, Marks) as run:
            assert (run.done, self.effects(engine), self.states(engine)) == (3, [1, 2, 3], ["done"] * 3)

    def test_an_error_in_the_block_leaves_neither(self, database: str, engine: Engine) -> None:
        def fail(connection: Connection) -> None:
            raise KeyError("within")

        with self.running(database, within=fail) as run:
            assert (run.done, len(run.dead()), len(run.told("task_failed"))) == (0, 3, 6)
            assert (self.effects(engine), self.states(engine)) == ([], ["new"] * 3)

    def test_an_error_after_the_block_is_told_and_changes_nothing(self, database: str, engine: Engine) -> None:
        def fail() -> None:
            raise KeyError("after")

        with self.running(database, after=fail) as run:
            assert (run.done, run.dead(), self.effects(engine)) == (3, {}, [1, 2, 3])
            told = run.told("failed_after_done")
            assert [str(fact.fields["error"]).startswith("KeyError: 'after'") for fact in told] == [True] * 3

    def test_a_row_that_somebody_else_has_marked_takes_the_effect_with_it(self, database: str, engine: Engine) -> None:
        class Late(Mails):
            def handle_task(self, offset: int, record: Any) -> object:  # SQLAlchemy's row
                tried.append(record.id)
                if record.id == 2:
                    with self.database.begin() as connection:
                        connection.execute(MARK, {"id": 2})
                return super().handle_task(offset, record)

        tried: list[int] = []
        with self.running(database, Late) as run:
            assert (tried, run.dead(), run.waiting(), self.effects(engine)) == ([1, 2, 3], {}, {}, [1, 3])
            assert [fact.fields["task"] for fact in run.told("lease_lost")] == ["test/consumer:2"]
            assert not run.told("task_failed")

    @pytest.mark.parametrize("is_committed", [True, False])
    def test_a_lost_answer_to_the_commit_leaves_the_row_to_tell(
        self, database: str, engine: Engine, *, is_committed: bool
    ) -> None:
        def lose(connection: Connection) -> None:
            driver: Any = connection.connection.driver_connection  # of whatever driver
            (driver.commit if is_committed else driver.rollback)()
            raise OperationalError("COMMIT", None, Exception("gone"))

        class Loses(Mails):
            def pre_consume(self) -> None:
                event.listen(self.database, "commit", lose, once=True)

        with self.running(database, Loses) as run:
            run.advance(5)
            assert (run.dead(), run.waiting()) == ({}, {})
            assert (self.effects(engine), self.states(engine)) == ([1, 2, 3], ["done"] * 3)
            assert len(run.told("settling_failed")) == 1

    def test_a_row_that_waited_is_done_and_forgotten(self, database: str, engine: Engine) -> None:
        fails = [True]

        def fail(connection: Connection) -> None:
            if fails:
                raise KeyError("within")

        class Waits(Mails):
            back_off_time = 10

        with self.running(database, Waits, within=fail) as run:
            assert len(run.waiting()) == 3
            fails.clear()
            run.advance(30)
            assert (run.store.rows, self.effects(engine), self.states(engine)) == ({}, [1, 2, 3], ["done"] * 3)
