"""`consumerd.testing` as users have it."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from consumerd import (
    BaseConsumer,
    Dead,
    KafkaBaseConsumer,
    Retry,
    ScheduleBaseConsumer,
    SQLBaseConsumer,
    TableBaseConsumer,
)
from consumerd.testing import ManualClock, Message, run_consumer


class Logins(KafkaBaseConsumer):
    def pre_consume(self) -> None:
        self.seen: list[Any] = []  # whatever JSON holds

    def handle_task(self, offset: int, record: Any) -> object:  # as above
        self.seen.append((offset, record, self.key, dict(self.headers)))
        if record == "later" and self.attempt == 1:
            return Retry(after=30)
        return Dead("never") if record == "never" else None


def test_a_message_has_its_payload_its_key_and_its_headers() -> None:
    run = run_consumer(Logins, [{"uid": 7}, Message(b'{"uid": 8}', key=b"8", headers=(("trace", b"1"),))])
    assert run.consumer.seen == [(0, {"uid": 7}, None, {}), (1, {"uid": 8}, b"8", {"trace": b"1"})]
    assert (run.done, run.dead(), run.waiting()) == (2, {}, {})


class Accounts(KafkaBaseConsumer):
    def pre_consume(self) -> None:
        self.seen: list[Any] = []  # records, and the keys that were deleted

    def handle_task(self, offset: int, record: Any) -> None:  # whatever JSON holds
        self.seen.append((offset, record))


class OneByOne(Accounts):
    def pre_handle_task(self) -> None:
        """One hook overridden is enough for the general loop."""


BOTH_LOOPS = pytest.mark.parametrize("consumer_class", [Accounts, OneByOne])
TOMBSTONES = [Message(None, key=b"a"), {"uid": 7}, Message(None, key=b"b"), Message(None), b""]


@BOTH_LOOPS
def test_tombstones_are_passed_over_and_said_once(consumer_class: type[Accounts]) -> None:
    run = run_consumer(consumer_class, TOMBSTONES)
    assert run.consumer.seen == [(1, {"uid": 7})]
    assert (run.done, list(run.dead())) == (4, ["test/consumer:4"])
    [told] = run.told("tombstones_passed_over")
    assert "handle_tombstone(self, offset, key)" in str(told.fields["advice"])


@BOTH_LOOPS
def test_a_consumer_that_handles_tombstones_gets_their_keys_in_order(consumer_class: type[Accounts]) -> None:
    class Deleting(consumer_class):  # type: ignore[valid-type, misc]  # a parameter
        def handle_tombstone(self, offset: int, key: bytes | None) -> None:
            self.seen.append((offset, key))

    run = run_consumer(Deleting, TOMBSTONES)
    assert run.consumer.seen == [(0, b"a"), (1, {"uid": 7}), (2, b"b"), (3, None)]
    assert (run.done, run.told("tombstones_passed_over")) == (4, [])


@BOTH_LOOPS
def test_a_tombstone_that_fails_is_parked_and_comes_again_as_one(consumer_class: type[Accounts]) -> None:
    class Failing(consumer_class):  # type: ignore[valid-type, misc]  # a parameter
        async def handle_tombstone(self, offset: int, key: bytes | None) -> object:
            self.seen.append((self.attempt, key))
            if self.attempt < 3:
                raise OSError("the cache is away")
            return Retry(after=30) if self.attempt == 3 else None

    run = run_consumer(Failing, [Message(None, key=b"a"), {"uid": 7}], configs={"task_retry_times": 2})
    assert run.consumer.seen == [(1, b"a"), (2, b"a"), (3, b"a"), (1, {"uid": 7})]
    assert list(run.waiting()) == ["test/consumer:0"]
    run.advance(31)
    run.stop()
    assert run.consumer.seen[-1] == (4, b"a")
    assert (run.waiting(), run.dead()) == ({}, {})


def test_around_task_is_about_a_tombstone_too_without_a_record() -> None:
    class Around(Accounts):
        @contextmanager
        def around_task(self, offset: int, record: Any) -> Iterator[None]:  # None for a tombstone
            self.seen.append(("around", offset, record))
            yield

        def handle_tombstone(self, offset: int, key: bytes | None) -> None:
            self.seen.append((offset, key))

    assert run_consumer(Around, [Message(None, key=b"a")]).consumer.seen == [("around", 0, None), (0, b"a")]


def test_a_payload_that_is_no_json_is_parked_as_it_would_be() -> None:
    run = run_consumer(Logins, [b"{", {"uid": 7}])
    [(task_id, error)] = run.dead().items()
    assert task_id == "test/consumer:0"
    assert "the payload is not JSON" in error
    assert (run.done, run.store.rows[task_id].payload) == (1, b"{")


@BOTH_LOOPS
def test_a_traceback_begins_with_what_is_the_users(consumer_class: type[Accounts]) -> None:
    class Failing(consumer_class):  # type: ignore[valid-type, misc]  # either of the two
        def handle_task(self, offset: int, record: Any) -> None:  # whatever JSON holds
            raise KeyError("uid")

    (task,) = run_consumer(Failing, [{}]).store.rows.values()
    assert task.traceback.count('  File "') == 1
    assert "in handle_task" in task.traceback


def test_a_value_that_json_cannot_hold_is_said_before_anything_runs() -> None:
    with pytest.raises(TypeError, match=r"is no JSON .*: give the payload as bytes"):
        run_consumer(Logins, [{1, 2}])


def test_time_brings_a_retry_with_its_key() -> None:
    run = run_consumer(Logins, [Message("later", key=b"k"), "never"])
    assert (run.done, list(run.waiting()), list(run.dead())) == (0, ["test/consumer:0"], ["test/consumer:1"])
    run.advance(31)
    assert (run.done, run.waiting()) == (1, {})
    assert run.consumer.seen[-1] == (0, "later", b"k", {})


def test_a_claimed_table_brings_payloads_too() -> None:
    class Jobs(TableBaseConsumer):
        def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
            return None if record["name"] else Dead("no name")

    assert list(run_consumer(Jobs, [{"name": "a"}, {"name": ""}]).dead()) == ["test/consumer:1"]


def test_a_consumer_runs_its_own_query_with_its_own_config() -> None:
    class Mails(SQLBaseConsumer):
        class Config(BaseModel):
            limit: int = 2

        def pre_consume(self) -> None:
            self.rows = [{"id": 1}, {"id": 2}, {"id": 3}]

        def get_next_batch(self) -> list[dict[str, int]]:
            return self.rows[: self.config["limit"]]

        def handle_task(self, offset: int, record: Any) -> object:  # a row
            del offset
            return self.rows.remove(record)  # type: ignore[func-returns-value]

        def post_consume(self) -> None:
            self.rows = []

    run = run_consumer(Mails)
    assert (run.done, run.consumer.rows) == (3, [])
    run.consumer.rows = [{"id": 4}]
    run.advance(1)
    assert run.done == 4
    run.consumer.rows = [{"id": 5}]
    run.stop()
    assert run.consumer.rows == []


def test_a_query_consumer_handles_the_rows_that_a_test_gives() -> None:
    class Mails(SQLBaseConsumer):
        def get_next_batch(self) -> list[Any]:
            raise AssertionError("the test has given the rows")

        def handle_task(self, offset: int, record: Any) -> object:  # a row
            assert record[1] == "ann"

    assert run_consumer(Mails, [(1, "ann")]).done == 1


def test_a_generator_runs_to_its_end() -> None:
    class Numbers(BaseConsumer):
        def iterate_task(self) -> Iterator[tuple[int, int]]:
            yield from enumerate([5, 6])

        def handle_task(self, offset: int, record: Any) -> object:  # as yielded
            assert record == offset + 5

    assert run_consumer(Numbers).done == 2


def test_a_kafka_consumer_needs_records() -> None:
    with pytest.raises(TypeError, match="Logins has no tasks of its own: give run_consumer the records of some"):
        run_consumer(Logins)


def test_a_row_of_a_driver_is_made_into_the_model_that_the_handler_names() -> None:
    class Reminder(BaseModel):
        id: int
        text: str

    class Reminders(SQLBaseConsumer):
        def pre_consume(self) -> None:
            self.seen: list[Reminder] = []
            self.database = sqlite3.connect(":memory:")
            self.database.row_factory = sqlite3.Row

        def get_next_batch(self) -> list[Any]:
            return [] if self.seen else self.database.execute("SELECT 7 AS id, 'call' AS text").fetchall()

        def handle_task(self, offset: int, record: Reminder) -> None:
            self.seen.append(record)

    run = run_consumer(Reminders)
    assert (run.consumer.seen, run.dead()) == ([Reminder(id=7, text="call")], {})


class Raising(KafkaBaseConsumer):
    dead_on = (LookupError,)

    def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
        match record["what"]:
            case "later":
                raise Retry(after=30)
            case "never":
                raise Dead("never") from KeyError("uid")
            case "lookup":
                raise IndexError("lookup")
        return None


class RaisingOneByOne(Raising):
    def pre_handle_task(self) -> None:
        """One hook overridden, so that the fast loop is passed by."""


class RaisingAwaited(Raising):
    async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # awaited as such
        return Raising.handle_task(self, offset, record)


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("consumer_class", [Raising, RaisingOneByOne, RaisingAwaited])
def test_what_a_handler_raises_to_decide_counts_however_tasks_are_run(consumer_class: type, concurrency: int) -> None:
    configs = {"concurrency": concurrency, "task_retry_times": 3}
    records = [{"what": what} for what in ("fine", "later", "never", "lookup", "fine")]
    run = run_consumer(consumer_class, records, configs=configs)
    assert run.done == 2
    assert run.dead() == {
        "test/consumer:2": "the handler gave up: never (KeyError: 'uid')",
        "test/consumer:3": "IndexError: lookup",
    }
    assert run.waiting() == {"test/consumer:1": "the handler asked for a retry"}
    assert len(run.told("task_failed")) == 3
    run.stop()


def test_time_passes_as_the_test_says() -> None:
    class Late(KafkaBaseConsumer):
        def handle_task(self, offset: int, record: Any) -> object:  # whatever JSON holds
            return Retry(after=10)

    run = run_consumer(Late, ["a"])
    begun = run.clock.wall()
    for _ in range(99):
        run.advance(seconds=1)
    assert run.clock.wall() - begun == pytest.approx(99)
    assert len(run.told("task_failed")) == 10
    run.advance(seconds=1)
    assert len(run.told("task_failed")) == 11


def test_a_batch_that_waits_for_its_tasks_is_put_off_from_when_it_failed() -> None:
    class Writing(KafkaBaseConsumer):
        def handle_batch(self, tasks: Any) -> None:  # whatever JSON holds
            raise OSError("the database is away")

    run = run_consumer(Writing, ["a", "b"], configs={"back_off_time": 10, "batch_linger": 3})
    failed = len(run.told("task_failed"))
    run.advance(seconds=10)
    assert len(run.told("task_failed")) == 2 * failed


class InTransaction:
    def handle_task(self, offset: int, record: Any) -> None:  # whatever JSON holds
        with self.transaction() as connection:  # type: ignore[attr-defined]  # of the class beside it
            connection.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize("base", [KafkaBaseConsumer, ScheduleBaseConsumer])
def test_a_transaction_that_would_be_refused_is_refused_in_a_test(base: type) -> None:
    consumer_class = type("Consumer", (InTransaction, base), {})
    [error] = run_consumer(consumer_class, [{}], configs={"database": ":memory:"}).dead().values()
    assert "self.transaction() settles rows of a table or a query" in error


def test_a_run_of_a_schedule_goes_on_from_its_checkpoint() -> None:
    class Pages(ScheduleBaseConsumer):
        def handle_task(self, offset: int, record: Any) -> None:  # a tick
            for page in range(record.cursor or 0, 4):
                self.checkpoint(page + 1)
                if page == 1 and self.attempt == 1:
                    raise OSError("the disk is full")

    run = run_consumer(Pages, configs={"back_off_time": 60})
    assert (run.checkpoints, len(run.waiting())) == ([1, 2], 1)
    run.advance(seconds=60)
    assert (run.checkpoints, run.done) == ([1, 2, 3, 4], 1)


def test_a_checkpoint_that_cannot_be_kept_fails_as_it_would() -> None:
    class Pages(ScheduleBaseConsumer):
        def handle_task(self, offset: int, record: Any) -> None:  # a tick
            self.checkpoint({1, 2})

    [error] = run_consumer(Pages).dead().values()
    assert "a checkpoint keeps what JSON has, and not a set" in error


def test_a_run_that_is_left_has_no_threads_and_no_open_files(tmp_path: Path) -> None:
    def left() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    class Reading(TableBaseConsumer):
        def handle_task(self, offset: int, record: Any) -> None:  # whatever JSON holds
            with self.transaction() as connection:
                connection.exec_driver_sql("SELECT 1")

    gc.collect()
    before = left()
    with run_consumer(Reading, range(20), configs={"concurrency": 4, "database": str(tmp_path / "x.sqlite")}) as run:
        assert run.done == 20
        assert left() != before
    del run
    gc.collect()
    assert left() == before


class Callbacks(KafkaBaseConsumer):
    def pre_consume(self) -> None:
        self.running = self.most = 0

    async def handle_task(self, offset: int, record: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (3, 3), (9, 4)])
def test_a_limit_holds_in_a_test(at_once: int, most: int) -> None:
    limits = {"channel": {"by": "channel", "at_once": at_once}}
    with run_consumer(Callbacks, [{"channel": "a"}] * 20, configs={"concurrency": 4}, limits=limits) as run:
        assert (run.done, run.consumer.most) == (20, most)


def test_what_waits_for_a_rate_moves_the_clock_of_the_test() -> None:
    clock = ManualClock(wall_s=0.0)
    run = run_consumer(Callbacks, range(21), limits={"total": {"per_second": 10}}, clock=clock)
    assert (run.done, run.clock.wall()) == (21, pytest.approx(2.0, abs=0.05))


def test_a_limit_that_cannot_be_in_a_test_is_refused() -> None:
    with pytest.raises(ValueError, match="limits nothing"):
        run_consumer(Callbacks, [], limits={"total": {}})
    with pytest.raises(ValueError, match="no database is asked for the numbers of the limit total"):
        run_consumer(Callbacks, [], limits={"total": {"numbers": {}}})


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    class Writing(KafkaBaseConsumer):
        def pre_consume(self) -> None:
            with self.database.begin() as connection:
                connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")

        def handle_task(self, offset: int, record: Any) -> None:
            with self.database.begin() as connection:
                connection.exec_driver_sql("INSERT INTO t VALUES (?)", (record,))

    run = run_consumer(Writing, range(100), configs={"concurrency": 8, "database": ":memory:"})
    with run, run.consumer.database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*), sum(n) FROM t").one() == (100, 4950)


def test_a_run_comes_back_while_a_destination_is_down_and_goes_on_when_it_is_up() -> None:
    class Callbacks(TableBaseConsumer):
        is_down = True

        def task_destination(self, record: Any) -> str:
            return "game-7"

        def handle_task(self, offset: int, record: Any) -> None:
            if self.is_down:
                raise ConnectionError("down")

    records = [{"uid": uid} for uid in range(30)]
    with run_consumer(Callbacks, records, configs={"concurrency": 4, "back_off_time": 10}) as run:
        assert (run.done, len(run.told("destination_opened")), run.dead()) == (0, 1, {})
        run.advance(30)
        assert run.done == 0
        run.consumer.is_down = False
        for _ in range(12):  # some were put off for as long as it was down
            run.advance(60)
        assert (run.done, run.waiting(), run.dead()) == (30, {}, {})
