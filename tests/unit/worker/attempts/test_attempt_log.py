"""What a handler logs during an attempt is kept with its task, if that is parked."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from consumerd import BaseConsumer, Dead, Retry
from consumerd.model.batch_task import BatchTask
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run
from consumerd.wire.board import Board
from consumerd.wire.board_writer import LaneWriter
from consumerd.worker.attempts.attempt_log import LINE_CHARACTERS, MOST_LINES, AttemptLog

LOG = logging.getLogger("shop.mail")


@pytest.fixture(autouse=True)
def all_levels() -> Iterator[None]:
    LOG.setLevel(logging.DEBUG)
    yield
    LOG.setLevel(logging.NOTSET)


class Logging(BaseConsumer):
    """Logs what its records say, and fails, or gives up, at those that are bad."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> object:
        for number in range(record.get("lines", 1)):
            LOG.info("record %s, line %d", record["name"], number)
        if record.get("then") == "dead":
            return Dead("no")
        if record.get("then") == "retry":
            return Retry(60)
        if record.get("then") == "raise":
            raise ValueError(record["name"])
        return None


def logs(run: Run) -> dict[str, list[str]]:
    """What is kept of each parked task, without times, by the name in its record."""
    with run.context.attempt_log.kept(run.context.board.lane):
        run.until_idle()
    return {row.task_id: [line[14:] for line in row.log.splitlines()] for row in run.store.rows.values()}


def test_a_parked_task_has_the_lines_of_its_own_attempt_alone() -> None:
    records = [{"name": "a"}, {"name": "b", "then": "raise"}, {"name": "c"}, {"name": "d", "then": "dead"}]
    records += [{"name": "e", "then": "retry"}, {"name": "f", "lines": 0, "then": "raise"}]
    found = logs(Run(Logging, records, configs={"task_retry_times": 0}))
    assert list(found.values()) == [
        ["INFO shop.mail: record b, line 0"],
        ["INFO shop.mail: record d, line 0"],
        ["INFO shop.mail: record e, line 0"],
        [],
    ]


def test_the_lines_are_those_of_the_last_attempt() -> None:
    class Counting(BaseConsumer):
        attempts = 0

        def handle_task(self, offset: int, record: object) -> None:
            self.attempts += 1
            LOG.warning("attempt %d", self.attempts)
            self.progress()
            LOG.debug("goes on")
            raise ValueError

    (lines,) = logs(Run(Counting, ["x"], configs={"task_retry_times": 2})).values()
    assert lines == ["WARNING shop.mail: attempt 3", "DEBUG shop.mail: goes on"]


def test_tasks_of_the_same_offset_in_other_batches_do_not_mix() -> None:
    clock = ManualClock()
    lane, log = LaneWriter(Board.private().words, 0, clock), AttemptLog()
    with log.kept(lane):
        for shard in (0, 0, 1):
            clock.advance(1)
            lane.begin(shard)
            lane.take(5)
            assert log.text(str) == ""
            LOG.info("of shard %d", shard)
            assert log.text(str)[14:] == f"INFO shop.mail: of shard {shard}"


@pytest.mark.parametrize("concurrency", [2, 7])
def test_lanes_do_not_mix(concurrency: int) -> None:
    together = threading.Barrier(concurrency, timeout=30)

    class AtOnce(Logging):
        def handle_task(self, offset: int, record: dict[str, Any]) -> object:
            together.wait()
            for _ in range(3):
                LOG.info("of %s", record["name"])
                together.wait()
            raise ValueError

    names = [str(number) for number in range(3 * concurrency)]
    configs = {"task_retry_times": 0, "concurrency": concurrency}
    found = logs(Run(AtOnce, [{"name": name} for name in names], configs=configs))
    assert sorted(map(str, found.values())) == sorted(str([f"INFO shop.mail: of {name}"] * 3) for name in names)


def test_coroutines_do_not_mix() -> None:
    class Coroutines(BaseConsumer):
        async def handle_task(self, offset: int, record: dict[str, Any]) -> None:
            for _ in range(3):
                LOG.info("of %s", record["name"])
                await asyncio.sleep(0)
                await asyncio.to_thread(LOG.info, "from a thread of %s", record["name"])
            if record["name"] != "good":
                raise ValueError

    records = [{"name": name} for name in ("a", "good", "b", "c", "good", "d")]
    found = logs(Run(Coroutines, records, configs={"task_retry_times": 0, "concurrency": 3}))
    said = [[f"INFO shop.mail: of {name}", f"INFO shop.mail: from a thread of {name}"] * 3 for name in "abcd"]
    assert sorted(found.values()) == said


def test_the_tasks_of_a_batch_that_is_given_up_have_its_lines() -> None:
    class Batches(BaseConsumer):
        def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
            LOG.info("%d tasks", len(tasks))
            raise Dead("no")

    found = logs(Run(Batches, ["x", "y"], configs={"batch_size": 2}))
    assert list(found.values()) == [["INFO shop.mail: 2 tasks"]] * 2


def test_what_another_thread_logs_is_nobodys() -> None:
    class Threaded(BaseConsumer):
        def handle_task(self, offset: int, record: object) -> None:
            thread = threading.Thread(target=LOG.info, args=["elsewhere"])
            thread.start()
            thread.join()
            raise ValueError

    assert list(logs(Run(Threaded, ["x"], configs={"task_retry_times": 0})).values()) == [[]]


def test_the_last_lines_are_kept_cut_and_without_secrets() -> None:
    class Talkative(BaseConsumer):
        def handle_task(self, offset: int, record: object) -> None:
            for number in range(2 * MOST_LINES):
                LOG.info("%d %s", number, "x" * 600)
            LOG.info("secret hunter2\nnext line")
            try:
                raise KeyError("hunter2")
            except KeyError:
                LOG.exception("it was")
            raise ValueError

    run = Run(Talkative, ["x"], configs={"task_retry_times": 0})
    run.context.redact.add(lambda text: text.replace("hunter2", "***"))
    with run.context.attempt_log.kept(run.context.board.lane):
        run.until_idle()
    (row,) = run.store.rows.values()
    lines = row.log.split("\n")
    assert len(lines) == MOST_LINES + 1
    assert {len(line) for line in lines[:-3]} == {LINE_CHARACTERS}
    assert lines[0].endswith("x…")
    assert lines[-3].endswith("INFO shop.mail: secret ***")
    assert lines[-2:] == ["  next line", f"{lines[-1][:13]} ERROR shop.mail: it was (KeyError: '***')"]


def test_nothing_that_is_logged_can_fail_the_handler_or_change_how_it_logs() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    class Careless(BaseConsumer):
        def handle_task(self, offset: int, record: object) -> None:
            LOG.info(Odd())
            LOG.info("%d of", "one")
            LOG.handle(logging.makeLogRecord({"name": "made", "msg": "by hand", "levelname": "INFO", "levelno": 20}))
            raise ValueError(str(logging.getLogger().handlers == before))

    before, factory = list(logging.getLogger().handlers), logging.getLogRecordFactory()
    propagates, LOG.propagate = LOG.propagate, False
    try:
        run = Run(Careless, ["x"], configs={"task_retry_times": 0})
        assert list(logs(run).values()) == [["INFO shop.mail: a line whose text cannot be had"] * 2]
    finally:
        LOG.propagate = propagates
    assert list(run.dead().values()) == ["ValueError: True"]
    assert logging.getLogRecordFactory() is factory


def test_a_factory_of_the_users_own_is_kept() -> None:
    class Own(BaseConsumer):
        def pre_consume(self) -> None:
            self.before = logging.getLogRecordFactory()

        def handle_task(self, offset: int, record: object) -> None:
            before = logging.getLogRecordFactory()

            def make(*args: Any, **named: Any) -> logging.LogRecord:
                made = before(*args, **named)
                made.msg = f"{made.msg}!"
                return made

            logging.setLogRecordFactory(make)
            LOG.info("said")
            raise ValueError

    factory = logging.getLogRecordFactory()
    try:
        run = Run(Own, ["x"], configs={"task_retry_times": 0})
        assert list(logs(run).values()) == [["INFO shop.mail: said"]]
        assert logging.getLogRecordFactory() is not factory, "the user's stays"
        LOG.info("of nobody")
    finally:
        logging.setLogRecordFactory(factory)
