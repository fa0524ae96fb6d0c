"""What is due in the parking store, and is not given by the query: which worker takes it up, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from consumerd import SQLBaseConsumer
from consumerd.model.parked import DueTask, ParkedState, ParkedTask
from consumerd.model.shards import Shard
from consumerd.model.task import TaskId
from consumerd.parking.memory import MemoryStore
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.ownership import Ownership
from consumerd.sources.query.selection import Selection
from consumerd.sources.query.waiting import PAGE, Waiting
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import StandInWorker, context_for_tests
from consumerd.worker.tasks.parked_rows import StoreIndex

NAME = "test/consumer"
IDS = [TaskId(f"{NAME}:{number}") for number in range(4 * PAGE)]


class Nothing(SQLBaseConsumer):
    def get_next_batch(self) -> list[object]:
        return []


class Slow(MemoryStore):
    """look_s: how long it takes to look what is due."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._manual = clock
        self.look_s = 0.0

    def due(self, consumer: str, limit: int, after: DueTask | None = None) -> tuple[tuple[DueTask, ...], bool]:
        self._manual.advance(self.look_s)
        return super().due(consumer, limit, after)


@dataclass
class HalfOfThem:
    """A worker that owns half of the rows; other workers have the rest."""

    clock: ManualClock
    store: Slow
    waiting: Waiting
    mine: list[TaskId]
    theirs: list[TaskId]

    def park(self, ids: list[TaskId], *, due_s: float, payload: bytes = b'{"id": 1}') -> None:
        at = self.clock.wall() - due_s
        state = ParkedState.WAITING
        task = ParkedTask(NAME, IDS[0], NAME, 0, 0, 0, state, at, 1, at, at, "ValueError: no", "", payload)
        self.store.park([replace(task, task_id=task_id) for task_id in ids])

    def given(self, seconds: int, *, is_whole: bool = True, reads: bool = True) -> set[TaskId]:
        """The rows that are to be handled after so many seconds in which the query gives nothing."""
        found: set[TaskId] = set()
        for _ in range(seconds):
            found |= {row.id for row in self.waiting.absent(set(), is_whole=is_whole, reads=reads)}
            self.clock.advance(1.0)
        return found


@pytest.fixture
def half() -> HalfOfThem:
    clock = ManualClock()
    store = Slow(clock)
    context = context_for_tests(Nothing(0), QueryOptions())
    parked = StoreIndex(NAME, store.as_thread(), lambda: None)
    context = replace(context, parked=parked, clock=clock, worker=StandInWorker(clock), member=None)
    ownership = Ownership(replace(context, shard=Shard.numbered(0, 2)))
    waiting = Waiting(context, Selection(context, ownership, tells_parked=True))
    owns = ownership.shard.owns
    return HalfOfThem(clock, store, waiting, list(filter(owns, IDS)), [each for each in IDS if not owns(each)])


def test_what_is_due_is_given_behind_any_number_of_other_workers_rows(half: HalfOfThem) -> None:
    half.park(half.theirs, due_s=100)
    half.park(half.mine[:5], due_s=50)
    assert len(half.theirs) > PAGE
    assert half.given(1) == set(half.mine[:5])


def test_where_so_many_are_due_that_one_look_does_not_reach_the_end_the_next_one_goes_on(half: HalfOfThem) -> None:
    half.park(half.theirs, due_s=100)
    half.park(half.mine[:5], due_s=50)
    half.store.look_s = 1.0
    assert half.given(1) == set()
    assert half.given(20, reads=False, is_whole=False) == set(half.mine[:5])


def test_rows_without_a_copy_that_are_never_known_to_be_gone_keep_no_other_waiting(half: HalfOfThem) -> None:
    bare, copied = half.mine[:500], half.mine[500:505]
    half.park(bare, due_s=100, payload=b"")
    half.park(copied, due_s=50)
    assert half.given(10, is_whole=False) == set(copied)
    assert set(half.store.rows) == {*bare, *copied}, "the query may give them behind its LIMIT"


def test_rows_without_a_copy_that_the_query_gives_no_more_are_gone(half: HalfOfThem) -> None:
    half.park(half.mine[:250], due_s=100, payload=b"")
    half.park(half.theirs[:5], due_s=200, payload=b"")
    assert half.given(300) == set()
    assert set(half.store.rows) == set(half.theirs[:5])
