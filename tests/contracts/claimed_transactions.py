"""What a handler's transaction must do on every database, as tests: subclass `TransactionsContract`, give it a `bench`.

Each handler's effect is a row of the table `effects`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from threading import Barrier

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from consumerd.errors import CommitUnknownError, TaskLostError
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.task import Task
from consumerd.sources.contract import Settlement
from contracts.moved_rows import MOVE
from contracts.table_bench import LEASE_S, TableBench, died, fetched, record, settle

PATIENCE_S = 30.0
EFFECT = text("INSERT INTO effects (task) VALUES (:task)")


def effect(connection: Connection, task: int = 0) -> None:
    connection.execute(EFFECT, {"task": task})


def fail(connection: Connection) -> None:
    del connection
    raise KeyError


def within(transaction: AbstractContextManager[Connection], *steps: Callable[[Connection], object]) -> None:
    """What a handler does in the block."""
    with transaction as connection:
        for step in steps:
            step(connection)


class TransactionsContract:
    """The suite."""

    @pytest.fixture(autouse=True)
    def _effects(self, bench: TableBench) -> None:
        bench.execute("CREATE TABLE effects (task INTEGER)")
        bench.enqueue(*range(3))

    def effects(self, bench: TableBench) -> list[object]:
        return bench.rows("task", "effects", "task")

    def test_effect_and_settlement_are_committed_together(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source)
        with source.transaction(batch.task(1)) as connection:
            effect(connection)
        assert (self.effects(bench), bench.rows()) == ([0], ["claimed", "done", "claimed"])
        assert [source.is_settled(batch.task(index)) for index in range(3)] == [False, True, False]

    @pytest.mark.parametrize("done", ["keep", "delete"])
    def test_what_was_settled_so_is_not_settled_again(self, bench: TableBench, done: str) -> None:
        source = bench.source(done=done)
        batch = fetched(source)
        for index in range(2):
            with source.transaction(batch.task(index)) as connection:
                effect(connection, index)
        settle(source, batch, Dead("after its end"))
        assert source.unsettled() == 0
        assert bench.rows() == (["done", "done", "dead"] if done == "keep" else ["dead"])
        assert not bench.told("lease_lost")

    def test_a_row_that_is_moved_when_done_is_moved_with_its_effect(self, bench: TableBench) -> None:
        bench.make_archive()
        source = bench.source(**MOVE)
        task, dead = fetched(source, 1).task(0), self.dead_task(died(source))
        with pytest.raises(KeyError):
            within(source.transaction(task), effect, fail)
        assert (bench.archived(), bench.rows()) == ([], ["claimed", "dead", "pending"])
        within(source.transaction(task), effect)
        within(source.transaction(dead), effect)
        assert (self.effects(bench), bench.archived(), bench.rows()) == ([0, 0], [1, 2], ["pending"])

    def test_an_error_rolls_both_back_and_the_row_is_settled_as_any_other(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source)
        with pytest.raises(KeyError):
            within(source.transaction(batch.task(0)), effect, fail)
        assert (self.effects(bench), source.is_settled(batch.task(0))) == ([], False)
        settle(source, batch, Dead("no"))
        assert bench.rows() == ["dead"] * 3

    def test_after_an_error_it_may_be_begun_again(self, bench: TableBench) -> None:
        source = bench.source()
        task = fetched(source).task(0)
        with pytest.raises(KeyError):
            within(source.transaction(task), fail)
        within(source.transaction(task), effect)
        assert (self.effects(bench), bench.rows()[0]) == ([0], "done")

    def test_a_row_that_is_anothers_by_now_takes_the_effect_with_it(self, bench: TableBench) -> None:
        def take_away(connection: Connection) -> None:
            statement = f"UPDATE {bench.claims} SET lease = 'other' WHERE id = 1"
            if bench.is_server:
                bench.execute(statement)
            else:  # whose one writer the handler is
                connection.execute(text(statement))

        source = bench.source()
        batch = fetched(source, 2)
        with pytest.raises(TaskLostError, match="rolled back"):
            within(source.transaction(batch.task(0)), effect, take_away)
        assert self.effects(bench) == []
        assert (source.settles(batch), bench.worker.interrupts) == (False, 1)
        assert [fact.fields["task"] for fact in bench.told("lease_lost")] == ["tasks:1"]

    def test_a_claim_that_is_too_old_begins_none(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source)
        bench.clock.advance(LEASE_S)
        with pytest.raises(TaskLostError):
            within(source.transaction(batch.task(0)), effect)
        assert self.effects(bench) == []

    def test_a_lease_is_renewed_where_rows_were_settled_so(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source)
        with source.transaction(batch.task(0)) as connection:
            effect(connection)
        bench.clock.advance(LEASE_S / 2)
        source.tick()
        bench.clock.advance(LEASE_S / 2)
        assert source.keeps(batch)
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=False)
        source.tick()
        bench.clock.advance(LEASE_S / 2)
        assert source.keeps(batch)
        bench.execute(f"UPDATE {bench.claims} SET lease = 'other' WHERE id = 2")
        source.tick()
        assert not source.keeps(batch)

    def test_a_batch_that_was_settled_so_is_forgotten(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source)
        for index in range(3):
            with source.transaction(batch.task(index)) as connection:
                effect(connection)
        settle(source, batch)
        source.release(batch, range(3, len(batch.raws)))
        assert source.fetch(10, 0.0) is None
        assert not source.is_settled(batch.task(0))

    def test_each_of_several_tasks_has_one_at_the_same_time(self, bench: TableBench) -> None:
        """A file has one writer at a time: there they wait for each other."""
        all_within = Barrier(3 if bench.is_server else 1)

        def handle(task: Task, number: int) -> None:
            with source.transaction(task) as connection:
                effect(connection, number)
                all_within.wait(PATIENCE_S)
                if number == 1:
                    raise KeyError(number)

        source = bench.source()
        first, second = fetched(source, 1), fetched(source, 2)
        tasks = [first.task(0), second.task(0), second.task(1)]
        with ThreadPoolExecutor(3) as handlers:
            ended = [handlers.submit(handle, task, number) for number, task in enumerate(tasks)]
        assert [type(each.exception()) for each in ended] == [type(None), KeyError, type(None)]
        assert [source.is_settled(task) for task in tasks] == [True, False, True]
        assert (self.effects(bench), bench.rows()) == ([0, 2], ["done", "claimed", "done"])
        source.settle([Settlement(second, 1, 2, DONE)], is_due=False)
        source.settle([Settlement(second, 0, 1, Dead("no")), Settlement(first, 0, 1, DONE)], is_due=True)
        assert (bench.rows(), source.unsettled()) == (["done", "dead", "done"], 0)
        assert not bench.told("lease_lost")

    def test_a_batch_of_which_a_row_was_lost_is_given_back_when_nothing_of_it_runs(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source)
        bench.execute(f"UPDATE {bench.claims} SET lease = 'other' WHERE id = 1")
        with pytest.raises(TaskLostError):
            within(source.transaction(batch.task(0)), effect)
        assert source.fetch(10, 0.0) is None, "its other rows run still, and nobody gets them"
        assert (bench.rows(), source.unsettled()) == (["claimed"] * 3, 3)
        source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 2, 3, DONE)], is_due=True)
        source.release(batch, [1])
        assert bench.rows() == ["claimed", "pending", "done"]
        assert source.unsettled() == 0

    def test_a_row_that_comes_again_while_others_of_its_first_claim_run_is_of_its_new_one(
        self, bench: TableBench
    ) -> None:
        source = bench.source()
        first = fetched(source)
        source.settle([Settlement(first, 0, 1, Retry(after=0.0))], is_due=True)
        again = fetched(source, 1)
        assert (again.task(0).id, again.task(0).offset) == (first.task(0).id, 0)
        within(source.transaction(again.task(0)), effect)
        assert (source.is_settled(again.task(0)), source.keeps(again), source.keeps(first)) == (True, True, True)
        assert not bench.told("lease_lost")
        settle(source, again)
        source.settle([Settlement(first, 1, 3, DONE)], is_due=True)
        assert (self.effects(bench), bench.rows(), source.unsettled()) == ([0], ["done"] * 3, 0)

    def test_a_dead_row_is_tried_again_while_others_of_its_claim_run(self, bench: TableBench) -> None:
        source = bench.source()
        batch = fetched(source, 2)
        source.settle([Settlement(batch, 0, 1, Dead("no"))], is_due=True)
        within(source.transaction(batch.task(0)), effect)
        assert (self.effects(bench), bench.rows()) == ([0], ["done", "claimed", "pending"])
        assert not bench.told("lease_lost")

    # Wrong use

    def test_one_transaction_is_open_at_a_time_and_settles_once(self, bench: TableBench) -> None:
        source = bench.source()
        task = fetched(source).task(0)
        with pytest.raises(RuntimeError, match="is open already"):
            within(source.transaction(task), effect, lambda _: within(source.transaction(task)))
        assert self.effects(bench) == []
        within(source.transaction(task))
        with pytest.raises(RuntimeError, match="done already"):
            within(source.transaction(task), effect)
        assert self.effects(bench) == []

    @pytest.mark.parametrize("end", [Connection.commit, Connection.rollback])
    def test_it_is_not_ended_within_its_block(self, bench: TableBench, end: Callable[[Connection], None]) -> None:
        source = bench.source()
        with pytest.raises(RuntimeError, match="block"):
            within(source.transaction(fetched(source).task(0)), effect, end)
        assert (self.effects(bench), bench.rows()[0]) == ([], "claimed")

    def test_a_commit_that_its_block_has_swallowed_is_none(self, bench: TableBench) -> None:
        def commit(connection: Connection) -> None:
            with pytest.raises(RuntimeError, match="leave that to its end"):
                connection.commit()

        source = bench.source()
        with pytest.raises(RuntimeError, match="block"):
            within(source.transaction(fetched(source).task(0)), effect, commit)
        assert (self.effects(bench), bench.rows()[0]) == ([], "claimed")

    def test_what_the_server_has_rolled_back_is_not_done_though_its_block_went_on(self, bench: TableBench) -> None:
        def lose(connection: Connection) -> None:  # as by a deadlock, whose error the handler swallows
            connection.execute(text("ROLLBACK"))

        source = bench.source()
        with pytest.raises(RuntimeError, match="was ended within its block"):
            within(source.transaction(fetched(source).task(0)), effect, lose)
        assert (self.effects(bench), bench.rows()[0]) == ([], "claimed")

    def test_a_session_and_a_savepoint_join_it(self, bench: TableBench) -> None:
        source = bench.source()
        with source.transaction(fetched(source).task(0)) as connection:
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                session.execute(EFFECT, {"task": 1})
                session.commit()
            with pytest.raises(KeyError), connection.begin_nested():
                within(nullcontext(connection), effect, fail)
            with Session(connection) as session:
                session.execute(EFFECT, {"task": 3})
                session.commit()
        assert (self.effects(bench), bench.rows()[0]) == ([1, 3], "done")

    # A COMMIT whose answer is lost

    @pytest.mark.parametrize("is_committed", [True, False])
    def test_a_lost_answer_leaves_the_row_to_tell(self, bench: TableBench, *, is_committed: bool) -> None:
        source = bench.source()
        batch = fetched(source)
        self._lose_answer(bench, is_committed=is_committed)
        with pytest.raises(CommitUnknownError):
            within(source.transaction(batch.task(0)), effect)
        assert (source.is_settled(batch.task(0)), source.keeps(batch), bench.worker.interrupts) == (False, False, 1)
        settle(source, batch, DONE, is_due=False)  # by a handler that swallows the error
        source.release(batch, range(3, len(batch.raws)))
        assert (source.fetch(10, 0.0) is None) == is_committed
        assert self.effects(bench) == [0] * is_committed
        assert bench.rows() == ["done" if is_committed else "claimed", "done", "done"]
        assert len(bench.told("settling_failed")) == 1

    def _lose_answer(self, bench: TableBench, *, is_committed: bool) -> None:
        def lose(connection: Connection) -> None:
            driver = connection.connection.driver_connection
            assert driver is not None
            (driver.commit if is_committed else driver.rollback)()
            raise OperationalError("COMMIT", None, Exception("gone"))

        event.listen(bench.handlers_engine, "commit", lose, once=True)

    # A dead row that is tried again

    def dead_task(self, parked_id: str) -> Task:
        """As the parking store gives it."""
        return Task(parked_id, offset=0, source="tasks", shard=0, position=0, payload=b"")  # type: ignore[arg-type]  # a TaskId

    @pytest.mark.parametrize("done", ["keep", "delete"])
    def test_a_dead_row_is_done_with_what_is_written_for_it(self, bench: TableBench, done: str) -> None:
        source = bench.source(done=done)
        task = self.dead_task(died(source))
        assert not source.is_settled(task)
        with source.transaction(task) as connection:
            effect(connection)
        assert (self.effects(bench), source.is_settled(task)) == ([0], True)
        assert bench.rows() == [*["done"][: done == "keep"], "pending", "pending"]
        assert task.id is not None
        source.finish_parked(task.id)
        assert bench.rows() == [*["done"][: done == "keep"], "pending", "pending"]

    @pytest.mark.parametrize("state", ["pending", "done"])
    def test_a_row_that_is_not_dead_any_more_takes_the_effect_with_it(self, bench: TableBench, state: str) -> None:
        source = bench.source()
        task = self.dead_task(died(source))
        bench.execute(f"UPDATE {bench.claims} SET state = :state, due_at = 0 WHERE id = 1", state=state)
        with pytest.raises(TaskLostError, match="not dead any more"):
            within(source.transaction(task), effect)
        assert (self.effects(bench), bench.rows()[0]) == ([], state)

    def test_a_key_of_two_columns_is_settled_so(self, bench: TableBench) -> None:
        bench.execute(
            "CREATE TABLE orders (region VARCHAR(9), number INTEGER, payload VARCHAR(9) DEFAULT '1', "
            "state VARCHAR(9) DEFAULT 'pending', due_at DOUBLE PRECISION DEFAULT 0, attempts INTEGER DEFAULT 0, "
            "first_at DOUBLE PRECISION, lease VARCHAR(255), settled_at DOUBLE PRECISION, PRIMARY KEY (region, number))"
        )
        bench.execute("INSERT INTO orders (region, number) VALUES ('a,b', 1), ('a,b', 2)")
        if bench.is_beside:
            bench.make_claims(table="orders", id_column=["region", "number"])
        source = bench.source(table="orders", id_column=["region", "number"])
        batch = fetched(source)
        assert record(batch) == 1
        with source.transaction(batch.task(1)) as connection:
            effect(connection)
        claims = "orders_claims" if bench.is_beside else "orders"
        assert bench.rows("state", claims, "number") == ["claimed", "done"]
