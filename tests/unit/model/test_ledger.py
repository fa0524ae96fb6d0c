"""The ledger against a naive model: a set of finished tasks, and the lowest task that is not in it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumerd.model.ledger import UNKNOWN, ShardLedger, Span


def test_nothing_is_known_of_a_new_shard():
    assert ShardLedger().watermark == UNKNOWN


def test_the_watermark_stays_before_an_unfinished_task_while_those_behind_it_finish():
    ledger = ShardLedger(10)
    span = ledger.take(10, 15, 5)
    assert (span.finish(2, 5), span.reached) == (0, 0)
    ledger.advance(span, 11, span.finish(0, 1))
    assert (ledger.watermark, ledger.finished_below) == (11, 1)
    ledger.advance(span, 15, span.finish(1, 2))
    assert (ledger.watermark, ledger.finished_below) == (15, 5)


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 4), (1, 3)])
def test_a_task_is_not_finished_twice(first: int, last: int):
    span = ShardLedger(0).take(0, 5, 5)
    span.finish(0, 1)
    span.finish(2, 3)
    with pytest.raises(AssertionError, match="settled twice"):
        span.finish(first, last)


def test_a_gap_is_passed_with_the_task_before_it():
    ledger = ShardLedger(0)
    first, second = ledger.take(0, 1, 1), ledger.take(100, 101, 1)
    ledger.advance(first, 1, 1)
    assert ledger.watermark == 100
    ledger.advance(second, 101, 1)
    assert ledger.watermark == 101


def test_what_is_skipped_is_passed_once_everything_before_it_is_finished():
    ledger = ShardLedger(0)
    span = ledger.take(0, 3, 3)
    ledger.skip_to(7)
    assert ledger.watermark == 0
    ledger.advance(span, 3, 3)
    assert ledger.watermark == 7


def test_a_task_cannot_be_taken_twice():
    ledger = ShardLedger(0)
    ledger.take(0, 5, 5)
    with pytest.raises(AssertionError):
        ledger.take(4, 6, 2)


class LedgerAgainstSets(RuleBasedStateMachine):
    """Takes runs with gaps, finishes tasks in any order, one or several at once, and compares at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ShardLedger(0)
        self.open: list[tuple[Span, list[int]]] = []  # a span, and all its tasks
        self.taken: list[int] = []
        self.finished: set[int] = set()
        self.end = 0

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=6), tail=st.integers(0, 3))
    def take(self, gaps: list[int], tail: int) -> None:
        tasks, position = [], self.end
        for gap in gaps:
            position += gap
            tasks.append(position)
            position += 1
        self.end = position + tail
        self.open.append((self.ledger.take(tasks[0], self.end, len(tasks)), tasks))
        self.taken += tasks

    @rule(gap=st.integers(0, 4))
    def skip(self, gap: int) -> None:
        self.end += gap
        self.ledger.skip_to(self.end)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish_some(self, data: st.DataObject) -> None:
        span, tasks = data.draw(st.sampled_from(self.open))
        unfinished = [index for index, task in enumerate(tasks) if task not in self.finished]
        first = data.draw(st.sampled_from(unfinished))
        to_next = next((index for index in range(first, len(tasks)) if tasks[index] in self.finished), len(tasks))
        last = data.draw(st.integers(first + 1, to_next))
        self.finished.update(tasks[first:last])
        more = span.finish(first, last)
        if more:
            self.ledger.advance(span, tasks[span.reached] if span.reached < len(tasks) else span.end, more)
        self.open = [each for each in self.open if not self.finished.issuperset(each[1])]

    @invariant()
    def the_watermark_is_the_lowest_unfinished_task(self) -> None:
        unfinished = [task for task in self.taken if task not in self.finished]
        assert self.ledger.watermark == min(unfinished, default=self.end)

    @invariant()
    def tasks_are_counted_exactly(self) -> None:
        assert self.ledger.taken == len(self.taken)
        assert self.ledger.finished_below == sum(task < self.ledger.watermark for task in self.taken)


TestLedgerAgainstSets = LedgerAgainstSets.TestCase
TestLedgerAgainstSets.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
