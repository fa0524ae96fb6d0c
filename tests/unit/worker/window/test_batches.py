"""`handle_batch`: over a source in memory; time moves by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from consumerd import BaseConsumer, BatchTask, Dead, KafkaBaseConsumer, Retry
from consumerd.sources.memory import MemorySource
from consumerd.testing import Message, run_consumer
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run
from consumerd.worker.tasks.interrupts import Interrupt

BEGAN = ManualClock().monotonic()
Handle = Callable[[list[BatchTask[Any]]], object]


class Login(BaseModel):
    uid: int


class Batches(BaseConsumer):
    """Keeps the records of each batch; a record with `bad` fails its batch."""

    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.batches: list[list[Any]] = []

    def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
        self.batches.append([task.record for task in tasks])
        if any(task.record == "bad" for task in tasks):
            raise ValueError("a bad one")
        return None


def consumer_of(handle: Handle) -> type[Batches]:
    class Given(Batches):
        def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
            super().handle_batch(tasks)
            return handle(tasks)

    return Given


def batches_of(run: Run) -> list[list[Any]]:
    found: list[list[Any]] = run.consumer.batches
    return found


def started(consumer: type, records: list[object], **configs: Any) -> Run:
    run = Run(consumer, records, configs=configs)
    run.until_idle()
    return run


def test_tasks_come_in_batches_and_the_last_one_after_it_has_lingered() -> None:
    run = started(Batches, list(range(25)), batch_size=10, batch_linger=5.0)
    assert [len(batch) for batch in batches_of(run)] == [10, 10, 5]
    assert run.done == 25
    assert run.clock.monotonic() - BEGAN >= 5.0


def test_what_raises_is_tried_one_by_one_and_the_culprit_alone_is_parked() -> None:
    run = started(Batches, [1, "bad", 3], batch_linger=0)
    assert batches_of(run) == [[1, "bad", 3], [1], ["bad"], [3]]
    assert (run.done, len(run.dead())) == (2, 1)
    assert [fact.fields["tasks"] for fact in run.told("batch_failed")] == [3]
    assert len(run.told("task_failed")) == 1


def test_a_task_is_tried_again_as_the_policy_says() -> None:
    run = started(Batches, [1, "bad"], batch_linger=0, task_retry_times=2, back_off_time=60)
    assert batches_of(run) == [[1, "bad"], [1], ["bad"], ["bad"], ["bad"]]
    assert (run.done, len(run.waiting())) == (1, 1)
    run.advance(61)
    assert len(batches_of(run)) == 8


OUTCOMES: list[tuple[str, Handle]] = [
    ("said of the task", lambda tasks: [_say(task) for task in tasks][:0]),
    ("returned in a list", lambda tasks: [_outcome(task) for task in tasks]),
]


def _outcome(task: BatchTask[Any]) -> object:
    return {"retry": Retry(60), "dead": Dead("no such user"), "fail": ValueError("it failed")}.get(task.record)


def _say(task: BatchTask[Any]) -> None:
    match task.record:
        case "retry":
            task.retry(60)
        case "dead":
            task.dead("no such user")
        case "fail":
            task.fail(ValueError("it failed"))


@pytest.mark.parametrize(("how", "handle"), OUTCOMES)
def test_each_task_has_its_outcome(how: str, handle: Handle) -> None:
    run = started(consumer_of(handle), [1, "retry", "dead", "fail", 5], batch_linger=0)
    assert len(batches_of(run)) == 1
    assert run.done == 2
    assert list(run.waiting().values()) == ["the handler asked for a retry"]
    assert sorted(run.dead().values()) == ["ValueError: it failed", "the handler gave up: no such user"]


def test_a_text_is_an_error_too_and_one_verdict_is_of_all() -> None:
    run = started(consumer_of(lambda tasks: tasks[0].fail("no answer")), [1], batch_linger=0)
    assert list(run.dead().values()) == ["no answer"]
    run = started(consumer_of(lambda tasks: Retry(5)), [1, 2], batch_linger=0)
    assert len(run.waiting()) == 2


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        ([Retry(1)], "ValueError: handle_batch returned 1 outcomes for 2 tasks: return one for each"),
        ({0: Retry(1)}, "TypeError: handle_batch returned outcomes in a mapping: return a list"),
        ((each for each in ()), "TypeError: handle_batch returned a generator, so its body never ran"),
    ],
)
def test_what_cannot_be_meant_fails_the_batch(returned: object, error: str) -> None:
    run = started(consumer_of(lambda tasks: returned), [1, 2], batch_linger=0)
    assert run.told("batch_failed")[0].fields["error"].startswith(error)


def test_other_values_are_done() -> None:
    assert started(consumer_of(lambda tasks: [7]), [1, 2], batch_linger=0).done == 2


def test_a_coroutine_function_works_too() -> None:
    class Awaited(Batches):
        async def handle_batch(self, tasks: list[BatchTask[Any]]) -> None:
            Batches.handle_batch(self, tasks)

    run = started(Awaited, [1, 2], batch_linger=0)
    assert run.done == 2
    run.stop()


def test_a_task_that_is_tried_again_is_no_fresh_one() -> None:
    seen = []

    def handle(tasks: list[BatchTask[Any]]) -> None:
        for task in tasks:
            seen.append((task.offset, task.attempt, task.first_seen is None))
            if task.attempt == 1:
                task.retry(10)

    run = started(consumer_of(handle), [1, 2], batch_linger=0)
    run.advance(11)
    assert seen == [(0, 1, True), (1, 1, True), (0, 2, False), (1, 2, False)]
    assert [len(batch) for batch in batches_of(run)] == [2, 2]


def test_an_undecodable_task_is_parked_by_itself() -> None:
    class Logins(KafkaBaseConsumer):
        def handle_batch(self, tasks: list[BatchTask[Login]]) -> None:
            assert [(task.record.uid, task.key, task.headers) for task in tasks] == [(7, b"7", ()), (8, None, ())]

    run = run_consumer(Logins, [Message({"uid": 7}, key=b"7"), b"no JSON", {"uid": "none"}, {"uid": 8}])
    assert (run.done, len(run.dead())) == (2, 2)
    assert not run.told("batch_failed")


def test_a_tombstone_comes_after_what_came_before_it() -> None:
    order: list[object] = []

    class Compacted(KafkaBaseConsumer):
        def handle_batch(self, tasks: list[BatchTask[Any]]) -> None:
            order.append([task.key for task in tasks])

        def handle_tombstone(self, offset: int, key: bytes | None) -> None:
            order.append(self.key)

    messages = [Message(1, key=b"a"), Message(2, key=b"b"), Message(None, key=b"a"), Message(3, key=b"a")]
    assert run_consumer(Compacted, messages).done == 4
    assert order == [[b"a", b"b"], b"a", [b"a"]]


def test_a_handler_asks_its_tasks_and_not_itself() -> None:
    run = started(consumer_of(lambda tasks: run_of(tasks)), [1], batch_linger=0)
    assert run.done == 1

    class Asking(Batches):
        def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
            self.progress()
            return self.attempt

    run = started(Asking, [1], batch_linger=0)
    assert next(iter(run.dead().values())).startswith("RuntimeError: handle_batch has several tasks at once")


def run_of(tasks: list[BatchTask[Any]]) -> None:
    assert repr(tasks[0]) == "<task at offset 0: 1>"


# Coalescing


def logins(*uids: int) -> list[object]:
    return [{"uid": uid, "now": now} for now, uid in enumerate(uids)]


def logins_at(now: int, *uids: int) -> list[object]:
    return [{"uid": uid, "now": now} for uid in uids]


def times_of(run: Run) -> list[list[tuple[int, int]]]:
    return [[(record["uid"], record["now"]) for record in batch] for batch in batches_of(run)]


@pytest.mark.parametrize(
    ("keep", "handled"),
    [
        ("newest", [(7, 3), (8, 1), (9, 4)]),
        ("oldest", [(7, 0), (8, 1), (9, 4)]),
        ("all", [(7, 0), (7, 2), (7, 3), (8, 1), (9, 4)]),
    ],
)
def test_the_survivors_alone_are_handled_and_all_are_done(keep: str, handled: list[tuple[int, int]]) -> None:
    run = started(Batches, logins(7, 8, 7, 7, 9), coalesce={"by": "uid", "keep": keep})
    assert times_of(run) == [handled]
    assert (run.done, run.board.read().coalesced) == (5, 5 - len(handled))


def test_the_newest_is_known_by_a_field_and_a_record_without_it_is_the_oldest() -> None:
    records = [{"uid": 7, "now": 3}, {"uid": 7, "now": 5}, {"uid": 7}, {"uid": 7, "now": 4}]
    run = started(Batches, records, coalesce={"by": "uid", "order_by": "now"})
    assert batches_of(run) == [[{"uid": 7, "now": 5}]]
    assert (run.done, len(run.told("field_missing"))) == (4, 1)


def test_the_class_says_what_belongs_together() -> None:
    class ByParity(Batches):
        def coalesce_key(self, record: Any) -> object:
            return None if record == "bad" else [record] if record == 5 else record % 2

    run = started(ByParity, [1, 2, 3, 4, 5, "bad"], coalesce={})
    assert batches_of(run)[0] == [3, 4, 5, "bad"]
    assert (run.done, len(run.dead())) == (5, 1)
    assert [fact.fields["hook"] for fact in run.told("hook_failed")] == ["coalesce_key"]


def test_records_without_the_field_stand_for_themselves() -> None:
    records = [{"uid": 1, "on": 2}, {"uid": 1}, {"uid": 1, "on": [1]}, {"uid": 1, "on": 2}, {"uid": 1}, "bad"]
    run = started(Batches, records, coalesce={"by": ["uid", "on"]})
    assert len(batches_of(run)[0]) == 5
    [told] = run.told("field_missing")
    assert (told.fields["field"], told.fields["used_by"]) == ("uid, on", "coalesce")


def failing(now: int, then: Callable[[BatchTask[Any]], object]) -> type[Batches]:
    def handle(tasks: list[BatchTask[Any]]) -> None:
        for task in tasks:
            if task.record["now"] == now:
                then(task)

    return consumer_of(handle)


def test_a_task_is_finished_with_another_only_once_that_is_done() -> None:
    run = started(failing(2, lambda task: task.dead("no")), logins(7, 7, 7), coalesce={"by": "uid"})
    assert times_of(run) == [[(7, 2)], [(7, 1)]]
    assert (run.done, len(run.dead()), run.board.read().coalesced) == (2, 1, 1)


def test_those_that_a_task_stands_for_wait_for_its_retries() -> None:
    tried: list[int] = []

    def fail_twice(task: BatchTask[Any]) -> None:
        tried.append(task.attempt)
        if task.attempt < 3:
            task.fail("busy")

    run = started(failing(2, fail_twice), logins(7, 7, 7), coalesce={"by": "uid"}, task_retry_times=2)
    assert times_of(run) == [[(7, 2)]] * 3
    assert (tried, run.done, run.board.read().coalesced) == ([1, 2, 3], 3, 2)


def test_a_key_is_written_when_it_is_quiet_or_has_waited_long_enough() -> None:
    coalesce = {"by": "uid", "quiet": 5.0, "max_wait": 20.0}
    source = Trickle()
    run = Run(Batches, configs={"coalesce": coalesce}, source=source)
    for number in range(12):
        source.give(*logins_at(number, *([7, 8] if number == 0 else [7])))
        turn_until(run, run.clock.monotonic() + 3.0)
    assert times_of(run)[0] == [(8, 0)]
    assert all(uid == 7 for batch in times_of(run)[1:] for uid, _ in batch)
    assert len(times_of(run)) == 2
    run.until_idle()
    assert times_of(run)[-1] == [(7, 11)]
    assert (run.done, run.board.read().coalesced) == (13, 10)


class Trickle(MemorySource):
    """Gives what it was given last."""

    numbers = itertools.count()

    def give(self, *records: object) -> None:
        self._released += [(next(self.numbers), record, None) for record in records]


def turn_until(run: Run, time: float) -> None:
    while run.clock.monotonic() < time:
        run.turn()


def test_nothing_is_waited_for_when_no_more_can_come() -> None:
    coalesce = {"by": "uid", "max_wait": 1000.0}
    run = started(Batches, logins(*range(40)), coalesce=coalesce, max_unsettled=10)
    assert [len(batch) for batch in batches_of(run)] == [10] * 4
    assert run.clock.monotonic() - BEGAN < 1000.0


def test_a_pause_ends_the_wait_and_a_stop_hands_back() -> None:
    coalesce = {"by": "uid", "max_wait": 1000.0}
    run = Run(Batches, logins(1, 2), configs={"coalesce": coalesce})
    run.turn(3)
    assert batches_of(run) == []
    run.interrupts.is_paused = True
    run.interrupts.set(Interrupt.PAUSE)
    run.turn(3)
    assert len(batches_of(run)) == 1

    run = Run(Batches, logins(1, 2), configs={"coalesce": coalesce})
    run.turn(3)
    run.interrupts.set(Interrupt.STOP)
    run.loop.run()
    assert (batches_of(run), run.source.unsettled()) == ([], 0)


def test_a_stop_comes_before_the_next_batch() -> None:
    def stop(tasks: list[BatchTask[Any]]) -> None:
        run.interrupts.set(Interrupt.STOP)

    run = Run(consumer_of(stop), list(range(30)), configs={"batch_size": 10})
    run.loop.run()
    assert (len(batches_of(run)), run.done, run.source.unsettled()) == (1, 10, 0)


def test_a_suspect_is_handled_alone_and_nothing_waits_for_it() -> None:
    run = Run(Batches, list(range(5)), configs={"batch_linger": 1000.0})
    run.link.suspects.put((("test/consumer:2", 1, "it died"),))
    run.until_idle()
    assert sorted(batches_of(run)) == [[0, 1], [2], [3, 4]]
    assert run.clock.monotonic() - BEGAN < 1001.0


def test_while_nothing_answers_tasks_are_tried_one_by_one() -> None:
    def refuse(tasks: list[BatchTask[Any]]) -> None:
        if run.clock.monotonic() - BEGAN < 100.0:
            raise ConnectionRefusedError("no database")

    run = Run(consumer_of(refuse), list(range(200)), configs={"batch_linger": 0, "batch_size": 50})
    run.until_idle()
    assert run.told("destination_away")
    assert [len(batch) for batch in batches_of(run)[:25]].count(50) == 1
    run.advance(1000)
    assert (run.done, run.dead()) == (200, {})


# Anything


ENDINGS = st.sampled_from(["done", "done", "done", "bad", "fail", "retry", "dead", "once"])
RECORDS = st.lists(st.tuples(st.integers(0, 3), ENDINGS), min_size=1, max_size=30)


class AnyEnd(Batches):
    """Each record says how its attempts end."""

    def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
        self.batches.append([task.record for task in tasks])
        if any(task.record["end"] == "bad" for task in tasks):
            raise ValueError("a bad one")
        for task in tasks:
            match task.record["end"]:
                case "fail":
                    task.fail("it failed")
                case "retry" if task.attempt == 1:
                    task.retry(5)
                case "dead":
                    task.dead("no")
                case "once" if task.attempt == 1:
                    task.fail("only once")
        return None


@given(
    records=RECORDS,
    configs=st.fixed_dictionaries(
        {
            "batch_size": st.integers(1, 8),
            "batch_linger": st.sampled_from([0, 0.5]),
            "task_retry_times": st.integers(0, 1),
            "max_unsettled": st.sampled_from([1, 7, 100]),
            "coalesce": st.sampled_from(
                [
                    None,
                    {"by": "uid"},
                    {"by": "uid", "keep": "oldest"},
                    {"by": "uid", "keep": "all", "max_wait": 9.0},
                    {"by": "uid", "quiet": 2.0, "max_wait": 9.0},
                ]
            ),
        }
    ),
    turns=st.integers(0, 12),
)
@settings(deadline=None)
def test_each_task_is_done_parked_or_finished_with_one_that_is_done(
    records: list[tuple[int, str]], configs: dict[str, Any], turns: int
) -> None:
    given = [{"uid": uid, "end": end, "number": number} for number, (uid, end) in enumerate(records)]
    run = Run(AnyEnd, given, configs=configs)
    run.turn(turns)
    run.interrupts.set(Interrupt.REVOKED)
    run.until_idle()
    while run.waiting():
        run.advance(60)  # not all that are due are taken at once
    reading = run.board.read()
    handed = {record["number"] for batch in batches_of(run) for record in batch}
    assert run.source.unsettled() == 0
    assert run.done + len(run.dead()) == len(given)
    assert run.waiting() == {}
    assert len(handed) + reading.coalesced >= len(given)
    never = [record for record in given if record["number"] not in handed]
    assert len(never) <= reading.coalesced
    for record in never:
        assert any(
            other["uid"] == record["uid"] and other["end"] not in ("bad", "fail", "dead")
            for other in given
            if other["number"] in handed
        )
    assert all(len(batch) <= configs["batch_size"] for batch in batches_of(run))
