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
    rest = ledger.split(span, 12, 2)
    ledger.advance(span, 11, 1)  # 10 is finished, 11 waits
    ledger.advance(rest, 15, 3)
    assert (ledger.watermark, ledger.finished_below) == (11, 1)
    ledger.advance(span, 12, 1)
    assert (ledger.watermark, ledger.finished_below) == (15, 5)


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
    """Takes runs with gaps, finishes tasks in spans, leaves some out for later, and compares at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ShardLedger(0)
        self.open: list[tuple[Span, list[int]]] = []  # a span, and its unfinished tasks
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
        index = data.draw(st.integers(0, len(self.open) - 1))
        span, tasks = self.open[index]
        count = data.draw(st.integers(0, len(tasks)))
        rest = tasks[count:]
        self.ledger.advance(span, rest[0] if rest else span.end, count)
        self.finished.update(tasks[:count])
        self.open[index] = (span, rest)
        if not rest:
            del self.open[index]

    @precondition(lambda self: any(len(tasks) > 1 for _, tasks in self.open))
    @rule(data=st.data())
    def leave_some_for_later(self, data: st.DataObject) -> None:
        divisible = [index for index, (_, tasks) in enumerate(self.open) if len(tasks) > 1]
        index = data.draw(st.sampled_from(divisible))
        span, tasks = self.open[index]
        count = data.draw(st.integers(1, len(tasks) - 1))
        rest = self.ledger.split(span, tasks[count], count)
        self.open[index] = (span, tasks[:count])
        self.open.insert(index + 1, (rest, tasks[count:]))

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
