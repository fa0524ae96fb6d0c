"""What every source must do, as tests: subclass `SourceContract`, give it a `Feed`, and run it with pytest.

class TestMySource(SourceContract):
    @pytest.fixture
    def feed(self) -> Iterator[Feed]: ...
"""

from __future__ import annotations

import threading

import pytest

from consumerd.clock import monotonic
from consumerd.model.outcome import DONE, SKIPPED, Dead, Outcome
from consumerd.sources.contract import Batch, Leased, Measured, Revocable, Settlement
from consumerd.testing.several_batches import SeveralBatches
from consumerd.testing.source_steps import (
    PATIENCE_S,
    Feed,
    batch_of_three,
    drained,
    fetched,
    numbers_of,
    one_batch,
    opened,
    reopened,
    settle_all,
)

__all__ = ["Feed", "SourceContract"]


class SourceContract(SeveralBatches):
    """The suite; `SeveralBatches` says what a subclass sets."""

    def test_every_task_is_fetched_once_and_in_order(self, feed: Feed) -> None:
        source = opened(feed, 250)
        assert drained(source, 250, limit=40) == list(range(250))

    def test_no_batch_is_larger_than_the_limit(self, feed: Feed) -> None:
        source = opened(feed, 100)
        sizes: list[int] = []
        drained(source, 100, limit=7, look=lambda batch: sizes.append(len(batch.raws)))
        assert max(sizes) <= 7

    def test_a_limit_of_nothing_fetches_nothing(self, feed: Feed) -> None:
        source = opened(feed, 3)
        assert source.fetch(0, 0.01) is None
        assert drained(source, 3) == [0, 1, 2]

    def test_an_empty_source_answers_none(self, feed: Feed) -> None:
        source = opened(feed, 0)
        assert fetched(source, 0.01) is None
        assert source.unsettled() == 0

    def test_a_source_that_gave_a_task_has_answered(self, feed: Feed) -> None:
        source = opened(feed, 1)
        one_batch(source)
        assert source.has_answered

    def test_a_task_has_its_payload_and_what_the_readers_say(self, feed: Feed) -> None:
        def look(batch: Batch) -> None:
            for index, raw in enumerate(batch.raws):
                task = batch.task(index)
                assert task.offset == batch.offset(raw)
                assert task.shard == batch.shard
                assert source.decode(task.payload) == batch.decode(batch.payload(raw))

        source = opened(feed, 5)
        drained(source, 5, look=look)

    def test_a_task_keeps_its_id_when_it_comes_again(self, feed: Feed) -> None:
        source = opened(feed, 3)
        batch = one_batch(source)
        first = [batch.task(index).id for index in range(len(batch.raws))]
        assert len(set(first)) == len(first)
        source.release(batch, range(len(batch.raws)))
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            again = one_batch(reopened(feed))
            assert again.task(0).id == first[0]

    def test_what_is_settled_does_not_come_again(self, feed: Feed) -> None:
        source = opened(feed, 20)
        drained(source, 20)
        self.close_settled(feed, source)

    @pytest.mark.parametrize("outcome", [Dead("x"), SKIPPED], ids=["dead", "skipped"])
    def test_what_was_parked_is_settled_as_well(self, feed: Feed, outcome: Outcome) -> None:
        source = opened(feed, 3)
        drained(source, 3, outcome=outcome)
        self.close_settled(feed, source)

    def test_what_was_never_started_comes_again(self, feed: Feed) -> None:
        source = opened(feed, 10)
        batch = one_batch(source)
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=True)
        source.release(batch, range(1, len(batch.raws)))
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            assert drained(reopened(feed), 9) == list(range(1, 10))

    def test_a_task_left_out_for_later_is_not_settled_by_those_behind_it(self, feed: Feed) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, 6)
        batch = batch_of_three(feed, source)
        left_out = numbers_of(batch)[1]
        source.settle([Settlement(batch, 0, 1, DONE)], is_due=False)
        source.settle([Settlement(batch, 2, len(batch.raws), DONE)], is_due=True)
        assert source.unsettled() >= 1
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            assert numbers_of(one_batch(reopened(feed)))[0] == left_out

    def test_a_task_left_out_is_settled_later(self, feed: Feed) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, 6)
        batch = batch_of_three(feed, source)
        source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 2, len(batch.raws), DONE)], is_due=True)
        source.release(batch, ())
        source.settle([Settlement(batch, 1, 2, Dead("x"))], is_due=True)
        drained(source, max(0, 6 - len(batch.raws)))
        self.close_settled(feed, source)

    def test_what_is_settled_is_durable_soon_after_it_is_due(self, feed: Feed) -> None:
        source = opened(feed, 20)
        drained(source, 20)
        source.settle((), is_due=True)
        deadline = monotonic() + PATIENCE_S
        while source.unsettled() and monotonic() < deadline:
            source.fetch(0, 0.01)
        assert source.unsettled() == 0

    def test_the_keeper_may_tick_and_measure_while_a_batch_is_out(self, feed: Feed) -> None:
        source = opened(feed, 5)
        batch = one_batch(source)

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
        settle_all(source, batch)
        source.close(monotonic() + PATIENCE_S)
