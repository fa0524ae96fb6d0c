"""How a worker treats tasks that were running when a worker died. Time moves by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer, Retry
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch
from consumerd.sources.generator import GeneratorSource
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import NAME, Run
from consumerd.wire.board import CRASHES, CURSOR, IDENTITIES_BYTES, LANES_AT, NONE
from consumerd.wire.messages import Cleared


class Watching(BaseConsumer):
    """Keeps, of each task that it handled, what stood on the board and in the store meanwhile."""

    SOURCE: ClassVar[str] = "memory"
    run: Run

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.seen: list[tuple[int, str | None, int, int]] = []

    def handle_task(self, offset: int, record: Any) -> object:
        board = self.run.board
        kept = self.run.store.rows.get(task_id(offset))
        crashes = 0 if kept is None else kept.crashes
        self.seen.append((offset, board.tasks_in_hand()[0][1], board.words[LANES_AT + CRASHES], crashes))
        match record:
            case "fail":
                raise ValueError("it failed")
            case "retry":
                return Retry(after=5) if self.attempt == 1 else None
        return None


class General(Watching):
    """The same by the general loop."""

    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""


BOTH_LOOPS = pytest.mark.parametrize("consumer_class", [Watching, General])


def cleared(run: Run) -> list[str]:
    """Which tasks a master was told to forget."""
    return [message.task_id for message in run.link.told if isinstance(message, Cleared)]


def task_id(number: int) -> TaskId:
    return TaskId(f"{NAME}:{number}")


def started(consumer_class: type[Watching], records: list[str], source: MemorySource | None = None) -> Run:
    run = Run(consumer_class, records, source=source)
    run.consumer.run = run
    return run


@BOTH_LOOPS
def test_the_board_names_the_task_in_hand_and_none_between_batches(consumer_class: type[Watching]) -> None:
    run = started(consumer_class, ["ok"] * 3)
    run.until_idle()
    assert run.consumer.seen == [(number, task_id(number), 0, 0) for number in range(3)]
    assert run.board.tasks_in_hand() == []
    assert run.store.calls == 0


@BOTH_LOOPS
def test_a_suspect_runs_once_its_crashes_are_written_down_and_is_cleared_when_done(
    consumer_class: type[Watching],
) -> None:
    run = started(consumer_class, ["ok"] * 4)
    run.link.suspects.put(((task_id(2), 2, "2 × SIGSEGV"),))
    run.until_idle()
    assert [(offset, on_board, kept) for offset, _, on_board, kept in run.consumer.seen] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 2, 2),
        (3, 0, 0),
    ]
    assert run.store.rows == {}
    assert cleared(run) == [task_id(2)]
    assert run.board.words[LANES_AT + CRASHES] == 0


def test_what_comes_before_a_suspect_is_settled_before_it_runs() -> None:
    class Settling(MemorySource):
        is_due_with = -1

        def settle(self, settlements: Any, *, is_due: bool) -> None:
            super().settle(settlements, is_due=is_due)
            if is_due:
                self.is_due_with = self._settled

    source = Settling()
    run = started(Watching, ["ok"] * 10, source)
    run.link.suspects.put(((task_id(7), 0, "SIGKILL"),))
    run.turn()
    assert source.is_due_with == 7
    assert run.store.calls == 0, "nothing that counts is known of it"
    assert cleared(run) == [task_id(7)]


@BOTH_LOOPS
def test_a_task_that_has_killed_too_often_is_parked_and_not_run(consumer_class: type[Watching]) -> None:
    run = started(consumer_class, ["ok"] * 3)
    run.link.suspects.put(((task_id(1), 3, "2 × SIGSEGV, exit 3"),))
    run.until_idle()
    assert [offset for offset, *_ in run.consumer.seen] == [0, 2]
    assert run.dead() == {task_id(1): "the workers that ran it died: 2 × SIGSEGV, exit 3 (crashes 3, limit 3)"}
    row = run.store.rows[task_id(1)]
    assert (row.crashes, row.attempts, row.payload) == (3, 3, b'"ok"')
    assert cleared(run) == [task_id(1)]
    reading = run.board.read()
    assert (reading.failed, reading.parked, reading.given_up) == (1, 1, 1)
    assert run.source.unsettled() == 0


def test_one_that_was_killed_past_its_timeout_is_parked_with_the_stacks_of_its_worker() -> None:
    run = started(Watching, ["ok"])
    run.link.suspects.put((Suspect(task_id(0), 3, "3 × killed", "in hang"),))
    run.until_idle()
    row = run.store.rows[task_id(0)]
    assert (row.error, row.traceback) == ("the workers that ran it died: 3 × killed (crashes 3, limit 3)", "in hang")


def test_while_the_store_is_away_a_suspect_runs_all_the_same_and_one_too_many_waits() -> None:
    run = started(Watching, ["ok"] * 3)
    run.link.suspects.put(
        (
            (task_id(0), 1, "exit 3"),
            (task_id(1), 3, "3 × exit 3"),
        )
    )
    run.store.is_away = True
    run.turn(20)
    assert [offset for offset, *_ in run.consumer.seen] == [0, 2]
    assert cleared(run) == [task_id(0)]
    run.store.is_away = False
    run.clock.advance(30)
    run.turn(5)
    assert set(run.dead()) == {task_id(1)}
    assert cleared(run) == [task_id(0), task_id(1)]
    assert set(run.store.rows) == {task_id(1)}


@BOTH_LOOPS
def test_a_suspect_that_fails_or_is_deferred_is_a_failed_task_like_any_other(consumer_class: type[Watching]) -> None:
    run = started(consumer_class, ["fail", "retry"])
    run.link.suspects.put(
        (
            (task_id(0), 1, "exit 3"),
            (task_id(1), 1, "exit 3"),
        )
    )
    run.until_idle()
    assert {number: (row.state, row.crashes) for number, row in run.store.rows.items()} == {
        task_id(0): (ParkedState.DEAD, 0),
        task_id(1): (ParkedState.WAITING, 0),
    }
    assert sorted(cleared(run)) == [task_id(0), task_id(1)]


def suspect_row(number: int, crashes: int) -> ParkedTask:
    return ParkedTask(
        consumer=NAME,
        task_id=task_id(number),
        source=NAME,
        shard=0,
        position=number,
        offset=number,
        state=ParkedState.SUSPECT,
        due_at=None,
        attempts=0,
        first_at=0.0,
        last_at=0.0,
        error="2 × SIGABRT",
        traceback="",
        payload=b"",
        crashes=crashes,
    )


def test_suspects_of_an_earlier_master_are_found_in_the_store() -> None:
    run = started(Watching, ["ok"] * 2)
    run.store.note_suspect(suspect_row(0, 2))
    run.store.note_suspect(suspect_row(1, 3))
    run.clock.advance(1)
    run.until_idle()
    assert [(offset, on_board) for offset, _, on_board, _ in run.consumer.seen] == [(0, 2)]
    assert run.dead() == {task_id(1): "the workers that ran it died: 2 × SIGABRT (crashes 3, limit 3)"}
    assert cleared(run) == [task_id(0), task_id(1)]


def test_a_parked_task_carries_its_crashes_and_is_dead_in_the_end() -> None:
    run = started(Watching, ["retry"])
    run.until_idle()
    (seen,) = run.consumer.seen
    run.link.suspects.put(((task_id(0), 2, "2 × exit 3"),))
    run.clock.advance(5)
    run.store.rows[task_id(0)] = replace(run.store.rows[task_id(0)], crashes=3)
    run.turn()
    assert run.consumer.seen == [seen]
    assert run.store.rows[task_id(0)].state is ParkedState.DEAD
    assert cleared(run) == [task_id(0)]


def test_a_parked_suspect_is_written_down_shown_and_cleared_when_done() -> None:
    run = started(Watching, ["retry"])
    run.until_idle()
    run.link.suspects.put(((task_id(0), 2, "2 × exit 3"),))
    run.clock.advance(5)
    run.turn()
    assert run.consumer.seen[1] == (0, task_id(0), 2, 2)
    assert run.store.rows == {}
    assert cleared(run) == [task_id(0)]
    assert run.board.words[LANES_AT + CURSOR] == NONE


def test_tasks_whose_ids_do_not_fit_on_the_board_go_one_by_one() -> None:
    class Long(MemorySource):
        def fetch(self, limit: int, timeout_s: float) -> Batch | None:
            batch = super().fetch(limit, timeout_s)
            if batch is not None:
                batch.identities = lambda: b"x" * (IDENTITIES_BYTES + 1)  # type: ignore[method-assign]
            return batch

    run = started(Watching, ["ok"] * 3, Long())
    run.link.suspects.put(((task_id(1), 1, "exit 3"),))
    run.until_idle()
    assert run.consumer.seen == [(0, task_id(0), 0, 0), (1, task_id(1), 1, 1), (2, task_id(2), 0, 0)]


def test_a_generators_task_is_nobodys_suspect() -> None:
    class Generating(Watching):
        def iterate_task(self) -> Any:
            yield 5, {"id": "five"}

        def task_id(self, record: Any) -> object:
            return record["id"]

    run = Run(Generating, source=GeneratorSource())
    run.consumer.run = run
    run.turn()
    assert run.consumer.seen == [(5, None, 0, 0)]
