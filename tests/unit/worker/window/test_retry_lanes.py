"""Retries beside new tasks in a window: a worker of which time alone is simulated."""

from __future__ import annotations

import heapq
import itertools

from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import Task, TaskId
from consumerd.sources.rows import RecordBatch
from consumerd.testing.clock import ManualClock
from consumerd.worker.attempts.attempt import Attempt
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.window.in_hand import BatchInHand, InHand
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.retry_lanes import MOST_ROWS_HELD, RetryLanes
from consumerd.worker.window.rules import Rules

PARKED = ParkedTask(
    consumer="g/n", task_id=TaskId("t:1"), source="t", shard=0, position=1, offset=1, state=ParkedState.WAITING,
    due_at=0.0, attempts=1, first_at=0.0, last_at=0.0, error="", traceback="", payload=b"",
)  # fmt: skip


def task(attempts: int, came_in: BatchInHand | ParkedTask = PARKED) -> InHand:
    made = Task(id=TaskId("t:1"), offset=1, source="t", shard=0, position=1, payload=b"", attempts=attempts)
    return InHand(Attempt(made, lambda is_again: None), came_in)


class Simulated:
    """So many lanes, which take whatever the line-up gives."""

    def __init__(self, width: int, share: float, *, new_s: float, retry_s: float) -> None:
        self.clock = ManualClock()
        self.lineup: Lineup[InHand] = Lineup()
        self.share = RetryShare(share, width, self.clock)
        rule = RetryLanes(self.share, self.lineup, self.clock)
        self.rules = Rules(self.lineup, retries=rule)
        self.free = width
        self.takes_s = {False: new_s, True: retry_s}
        self.spent_s = {False: 0.0, True: 0.0}
        self.running: list[tuple[float, int, InHand]] = []
        self.most_retries = 0
        self.numbers = itertools.count()

    @property
    def retries(self) -> int:
        return sum(running.task.attempts > 0 for _, _, running in self.running)

    def start(self) -> None:
        while self.free and (found := self.lineup.next(self.clock.monotonic())) is not None:
            if not self.rules.admit(found, self.clock.monotonic()):
                continue
            self.free -= 1
            ends_at = self.clock.monotonic() + self.takes_s[found.task.attempts > 0]
            heapq.heappush(self.running, (ends_at, next(self.numbers), found))

    def step(self) -> None:
        """Until the next task has ended, or the line-up is to be asked again."""
        self.start()
        self.most_retries = max(self.most_retries, self.retries)
        next_at = self.lineup.next_at if self.free else None
        ends_at = self.running[0][0] if self.running else None
        until = min(at for at in (next_at, ends_at) if at is not None)
        self.clock.advance(max(0.0, until - self.clock.monotonic()))
        if ends_at is not None and ends_at <= self.clock.monotonic():
            _, _, ended = heapq.heappop(self.running)
            is_retry = ended.task.attempts > 0
            self.spent_s[is_retry] += self.takes_s[is_retry]
            self.free += 1
            self.rules.end(ended)
            self.lineup.end(ended)


@given(st.integers(1, 40), st.sampled_from([0.1, 0.2, 0.5]), st.floats(0.5, 10))
def test_beside_new_tasks_retries_have_their_share_of_the_lanes(width: int, share: float, retry_s: float) -> None:
    worker = Simulated(width, share, new_s=0.2, retry_s=retry_s)
    retries = [task(attempts=1) for _ in range(4 * width)]
    for retry in retries:
        worker.lineup.add(retry)
    for _ in range(4 * width):
        worker.lineup.add(task(attempts=0))
    lasts_s = 20 * retry_s
    began_at = worker.clock.monotonic()
    while worker.clock.monotonic() - began_at < lasts_s:
        while worker.lineup.ready < width:
            worker.lineup.add(task(attempts=0))
        worker.step()
    assert worker.most_retries <= worker.share.lanes
    assert worker.spent_s[True] <= share * width * lasts_s + width * retry_s
    assert worker.spent_s[True] >= min(0.4 * share * width * lasts_s, len(retries) * retry_s) - retry_s
    assert worker.spent_s[False] >= 0.75 * (1 - share) * width * lasts_s - width


@given(st.integers(1, 40), st.sampled_from([0.1, 0.2, 0.5]))
def test_where_no_new_task_waits_retries_have_all_lanes(width: int, share: float) -> None:
    worker = Simulated(width, share, new_s=0.2, retry_s=2.0)
    for attempts in (0, *([1] * 3 * width)):
        worker.lineup.add(task(attempts))
    while worker.running or worker.lineup.next_at is not None or worker.lineup.ready:
        worker.step()
    assert worker.most_retries == width
    assert worker.spent_s[True] == 3 * width * 2.0


def test_a_task_that_is_retried_at_once_is_no_retry_of_the_share() -> None:
    worker = Simulated(1, 0.2, new_s=1, retry_s=1)
    again = task(attempts=1)
    again.attempt.tried = 1
    worker.share.note_new(wait=True)
    worker.share.note_retried(100)
    worker.lineup.add(again)
    worker.lineup.add(task(0))
    worker.start()
    assert [running for _, _, running in worker.running] == [again]


def test_of_a_source_that_gives_many_rows_again_no_more_wait_in_hand_than_may() -> None:
    worker = Simulated(10, 0.2, new_s=0.2, retry_s=5)
    rows = BatchInHand(RecordBatch("t", [], id_start=""), 1_000)
    for _ in range(10):
        worker.lineup.add(task(attempts=0))
    for _ in range(500):
        worker.lineup.add(task(1, rows))
    for _ in range(1_000):
        worker.step()
        worker.lineup.add(task(attempts=0))
        assert worker.lineup.held_at(RetryLanes) <= MOST_ROWS_HELD
    while worker.retries or worker.lineup.next_at is not None or worker.lineup.ready:
        worker.step()
    assert worker.spent_s[True] == 500 * 5
