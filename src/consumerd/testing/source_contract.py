"""What every source must do, as tests: subclass `SourceContract`, give it a `Feed`, and run it with pytest.

class TestMySource(SourceContract):
    @pytest.fixture
    def feed(self) -> Iterator[Feed]: ...
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import pytest

from consumerd.clock import monotonic
from consumerd.model.outcome import DONE, SKIPPED, Dead, Outcome
from consumerd.sources.contract import (
    Batch,
    EndOfSource,
    Leased,
    Measured,
    Revocable,
    Settlement,
    Source,
    SourceContext,
)
from consumerd.testing.source_context import context_for_tests

PATIENCE_S = 30.0


class Feed(Protocol):
    """The world behind a source, as a suite needs it; each test has one of its own."""

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        """Put these records, in this order and into one shard, where the source finds them."""

    def open(self, context: SourceContext) -> Source:
        """A source, opened with this context (the feed puts its options in)."""


class SourceContract:
    """The suite.

    is_durable: whether what is unsettled outlives the source's process, and what is settled does not come again.
    gives_one_at_a_time: whether a batch never has more than one task, and the next comes when it is settled.
    """

    is_durable: ClassVar[bool] = True
    gives_one_at_a_time: ClassVar[bool] = False

    def test_every_task_is_fetched_once_and_in_order(self, feed: Feed) -> None:
        source = _opened(feed, 250)
        assert _drained(source, 250, limit=40) == list(range(250))

    def test_no_batch_is_larger_than_the_limit(self, feed: Feed) -> None:
        source = _opened(feed, 100)
        sizes: list[int] = []
        _drained(source, 100, limit=7, look=lambda batch: sizes.append(len(batch.raws)))
        assert max(sizes) <= 7

    def test_a_limit_of_nothing_fetches_nothing(self, feed: Feed) -> None:
        source = _opened(feed, 3)
        assert source.fetch(0, 0.01) is None
        assert _drained(source, 3) == [0, 1, 2]

    def test_an_empty_source_answers_none(self, feed: Feed) -> None:
        source = _opened(feed, 0)
        assert _fetched(source, 0.01) is None
        assert source.unsettled() == 0

    def test_a_source_that_gave_a_task_has_answered(self, feed: Feed) -> None:
        source = _opened(feed, 1)
        _one_batch(source)
        assert source.has_answered

    def test_a_task_has_its_payload_and_what_the_readers_say(self, feed: Feed) -> None:
        def look(batch: Batch) -> None:
            for index, raw in enumerate(batch.raws):
                task = batch.task(index)
                assert task.offset == batch.offset(raw)
                assert task.shard == batch.shard
                assert source.decode(task.payload) == batch.decode(batch.payload(raw))

        source = _opened(feed, 5)
        _drained(source, 5, look=look)

    def test_a_task_keeps_its_id_when_it_comes_again(self, feed: Feed) -> None:
        source = _opened(feed, 3)
        batch = _one_batch(source)
        first = [batch.task(index).id for index in range(len(batch.raws))]
        assert len(set(first)) == len(first)
        source.release(batch, range(len(batch.raws)))
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            again = _one_batch(_reopened(feed))
            assert again.task(0).id == first[0]

    def test_what_is_settled_does_not_come_again(self, feed: Feed) -> None:
        source = _opened(feed, 20)
        _drained(source, 20)
        self._close_settled(feed, source)

    @pytest.mark.parametrize("outcome", [Dead("x"), SKIPPED], ids=["dead", "skipped"])
    def test_what_was_parked_is_settled_as_well(self, feed: Feed, outcome: Outcome) -> None:
        source = _opened(feed, 3)
        _drained(source, 3, outcome=outcome)
        self._close_settled(feed, source)

    def test_what_was_never_started_comes_again(self, feed: Feed) -> None:
        source = _opened(feed, 10)
        batch = _one_batch(source)
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=True)
        source.release(batch, range(1, len(batch.raws)))
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            assert _drained(_reopened(feed), 9) == list(range(1, 10))

    def test_a_task_left_out_for_later_is_not_settled_by_those_behind_it(self, feed: Feed) -> None:
        self._needs_several_tasks_at_once()
        source = _opened(feed, 6)
        batch = _batch_of_three(feed, source)
        left_out = _numbers(batch)[1]
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=False)
        source.settle([Settlement(batch, 2, len(batch.raws), DONE)], is_due=True)
        assert source.unsettled() >= 1
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            assert _numbers(_one_batch(_reopened(feed)))[0] == left_out

    def test_a_task_left_out_is_settled_later(self, feed: Feed) -> None:
        self._needs_several_tasks_at_once()
        source = _opened(feed, 6)
        batch = _batch_of_three(feed, source)
        source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 2, len(batch.raws), DONE)], is_due=True)
        source.release(batch, ())
        source.settle([Settlement(batch, 1, 2, Dead("x"))], is_due=True)
        _drained(source, max(0, 6 - len(batch.raws)))
        self._close_settled(feed, source)

    def test_what_is_settled_is_durable_soon_after_it_is_due(self, feed: Feed) -> None:
        source = _opened(feed, 20)
        _drained(source, 20)
        source.settle((), is_due=True)
        deadline = monotonic() + PATIENCE_S
        while source.unsettled() and monotonic() < deadline:
            source.fetch(0, 0.01)
        assert source.unsettled() == 0

    def test_several_batches_in_hand_are_settled_in_any_order(self, feed: Feed) -> None:
        self._needs_several_tasks_at_once()
        source = _opened(feed, 6)
        first, second = _one_batch(source, 1), _one_batch(source, 1)
        _settle_all(source, second)
        _settle_all(source, first)
        _drained(source, 4)
        self._close_settled(feed, source)

    def test_the_keeper_may_tick_and_measure_while_a_batch_is_out(self, feed: Feed) -> None:
        source = _opened(feed, 5)
        batch = _one_batch(source)

        def keep() -> None:
            if isinstance(source, Leased):
                source.tick()
            if isinstance(source, Measured):
                source.lag()

        keeper = threading.Thread(target=keep)
        keeper.start()
        keeper.join(PATIENCE_S)
        assert not keeper.is_alive()
        assert not isinstance(source, Revocable) or (source.keeps(batch) and source.settles(batch))
        _settle_all(source, batch)
        source.close(monotonic() + PATIENCE_S)

    def _close_settled(self, feed: Feed, source: Source) -> None:
        """Close a source of which no task may come again."""
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            assert _fetched(_reopened(feed), 0.5) is None

    def _needs_several_tasks_at_once(self) -> None:
        if self.gives_one_at_a_time:
            pytest.skip("this source gives one task at a time")


def _opened(feed: Feed, count: int) -> Source:
    feed.produce([{"number": number} for number in range(count)])
    return feed.open(context_for_tests())


def _reopened(feed: Feed) -> Source:
    return feed.open(context_for_tests(generation=2))


def _fetched(source: Source, timeout_s: float, limit: int = 100) -> Batch | None:
    try:
        return source.fetch(limit, timeout_s)
    except EndOfSource:
        return None


def _one_batch(source: Source, limit: int = 100) -> Batch:
    deadline = monotonic() + PATIENCE_S
    while monotonic() < deadline:
        batch = _fetched(source, 0.2, limit)
        if batch is not None:
            return batch
    raise AssertionError(f"no task came within {PATIENCE_S:g} s")


def _settle_all(source: Source, batch: Batch, outcome: Outcome = DONE, *, is_due: bool = False) -> None:
    """Settle and leave a batch, as the loop does it."""
    source.settle([Settlement(batch, 0, len(batch.raws), outcome)], is_due=is_due)
    source.release(batch, ())


def _batch_of_three(feed: Feed, source: Source) -> Batch:
    """A batch of at least three tasks, which a source may take some time to have together."""
    while len((batch := _one_batch(source)).raws) < 3:
        _settle_all(source, batch, is_due=True)
        feed.produce([{"number": number} for number in range(1_000, 1_006)])
    return batch


def _drained(
    source: Source,
    count: int,
    *,
    limit: int = 100,
    outcome: Outcome = DONE,
    look: Callable[[Batch], None] = lambda batch: None,
) -> list[int]:
    """The numbers of so many tasks, each batch settled before the next is fetched, as the loop does it."""
    seen: list[int] = []
    while len(seen) < count:
        batch = _one_batch(source, limit)
        look(batch)
        seen += _numbers(batch)
        _settle_all(source, batch, outcome)
    return seen


def _numbers(batch: Batch) -> list[int]:
    records: list[Any] = [batch.decode(batch.payload(raw)) for raw in batch.raws]  # of the feed
    return [record["number"] for record in records]
