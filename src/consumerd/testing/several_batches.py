"""What every source must do while a worker has tasks of several batches in hand, as it has with `concurrency`.

A part of the suite of all sources, `SourceContract`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import ClassVar

import pytest

from consumerd.clock import monotonic
from consumerd.model.outcome import DONE
from consumerd.sources.contract import Batch, Leased, Measured, Revocable, Settlement, Source
from consumerd.testing.source_steps import (
    PATIENCE_S,
    Feed,
    fetched,
    numbers_of,
    one_batch,
    opened,
    reopened,
)

COUNT = 12
Place = tuple[Batch, int]
"""A batch, and the index of a task in it."""


class SeveralBatches:
    """Tests, and what a subclass says of its source.

    is_durable: whether what is unsettled outlives the source's process, and what is settled does not come again.
    gives_one_at_a_time: whether a batch never has more than one task, and the next comes when it is settled.
    is_taken_away_whole: whether all that the source has in hand is lost together.
    """

    is_durable: ClassVar[bool] = True
    gives_one_at_a_time: ClassVar[bool] = False
    is_taken_away_whole: ClassVar[bool] = False

    def take_away(self, feed: Feed, source: Source, batch: Batch) -> bool:
        """Have others take the batch from the source, which finds out with its next `tick`; false where nobody can."""
        del feed, source, batch
        return False

    @pytest.mark.parametrize("seed", range(4))
    def test_tasks_of_several_batches_are_settled_in_any_order(self, feed: Feed, seed: int) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, COUNT)
        batches = _all_in_hand(source)
        assert fetched(source, 0.01) is None
        places = _shuffled(batches, seed)
        _settle(source, places, seed)
        for batch in batches:
            source.release(batch, ())
        self.close_settled(feed, source)

    @pytest.mark.parametrize("seed", range(4))
    def test_what_has_not_ended_comes_again_and_what_was_done_does_not(self, feed: Feed, seed: int) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, COUNT)
        places = _shuffled(_all_in_hand(source), seed)
        _settle(source, places[:8], seed)
        source.settle((), is_due=True)
        assert source.unsettled() >= COUNT - 8
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            self._comes_again(feed, source, _numbers_at(places[8:]))

    def test_of_a_batch_that_is_left_what_was_never_begun_comes_again(self, feed: Feed) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, COUNT)
        batches = _all_in_hand(source)
        places = [(batch, index) for batch in batches for index in range(len(batch.raws))]
        _settle(source, places[::2], 0)
        for batch in reversed(batches):
            source.release(batch, [index for of, index in places[1::2] if of is batch])
        if source.traits.positional:
            source.close(monotonic() + PATIENCE_S)
            self._comes_again(feed, source, _numbers_at(places[1::2]))
            return
        again = _all_in_hand(source, COUNT // 2)
        assert sorted(number for batch in again for number in numbers_of(batch)) == sorted(_numbers_at(places[1::2]))
        _settle(source, [(batch, index) for batch in again for index in range(len(batch.raws))], 0)
        self.close_settled(feed, source)

    def test_all_that_is_in_hand_is_unsettled_until_it_is_durable(self, feed: Feed) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, COUNT)
        batches = _all_in_hand(source)
        assert source.unsettled() == COUNT
        _settle(source, [(batch, index) for batch in reversed(batches) for index in range(len(batch.raws))], 0)
        for batch in batches:
            source.release(batch, ())
        source.settle((), is_due=True)
        deadline = monotonic() + PATIENCE_S
        while source.unsettled() and monotonic() < deadline:
            source.fetch(0, 0.01)
        assert source.unsettled() == 0

    def test_the_keeper_may_tick_and_measure_between_batches(self, feed: Feed) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, COUNT)
        batches = _all_in_hand(source)
        _settle(source, [(batches[-1], 0)], 0)
        _keep(source)
        for batch in batches:
            assert not isinstance(source, Revocable) or (source.keeps(batch) and source.settles(batch))
        rest = [(batch, index) for batch in batches for index in range(len(batch.raws))]
        _settle(source, [place for place in rest if place != (batches[-1], 0)], 1)
        self.close_settled(feed, source)

    def test_a_batch_that_is_taken_away_while_it_runs_is_lost_alone(self, feed: Feed) -> None:
        self.needs_several_tasks_at_once()
        source = opened(feed, COUNT)
        lost, *others = _all_in_hand(source)
        if self.is_taken_away_whole or not self.take_away(feed, source, lost):
            pytest.skip("nobody can take a single batch of this source away")
        assert isinstance(source, Revocable)
        _keep(source)
        fetched(source, 0.0)
        assert [source.keeps(batch) for batch in (lost, *others)] == [False, *(True for _ in others)]
        assert source.unsettled() >= COUNT - len(lost.raws)
        _settle(source, [(lost, 0)], 0)  # it ran all the while, and others have it by now
        source.release(lost, range(1, len(lost.raws)))
        _settle(source, [(batch, index) for batch in others for index in range(len(batch.raws))], 1)
        for batch in others:
            source.release(batch, ())
        source.close(monotonic() + PATIENCE_S)
        assert source.unsettled() == 0

    def test_what_ended_of_a_batch_that_was_taken_away_and_is_dropped_is_in_hand_no_longer(self, feed: Feed) -> None:
        source = opened(feed, COUNT)
        lost = one_batch(source, 5)
        if not self.take_away(feed, source, lost):
            pytest.skip("nobody can take a batch of this source away")
        assert isinstance(source, Revocable)
        _keep(source)
        assert not source.settles(lost)
        source.drop(lost, 0, 1)
        source.release(lost, range(1, len(lost.raws)))
        deadline = monotonic() + PATIENCE_S
        while source.unsettled() and monotonic() < deadline:
            source.fetch(0, 0.01)
        assert source.unsettled() == 0

    # For all suites

    def close_settled(self, feed: Feed, source: Source) -> None:
        """Close a source of which no task may come again."""
        source.close(monotonic() + PATIENCE_S)
        if self.is_durable:
            assert fetched(reopened(feed), 0.5) is None

    def needs_several_tasks_at_once(self) -> None:
        if self.gives_one_at_a_time:
            pytest.skip("this source gives one task at a time")

    def _comes_again(self, feed: Feed, source: Source, unfinished: Iterable[int]) -> None:
        """These, and no others; but where a position is settled, all from the first of them on."""
        wanted = sorted(unfinished)
        if source.traits.positional:
            wanted = list(range(wanted[0], COUNT))
        again = _all_in_hand(reopened(feed), len(wanted))
        assert sorted(number for batch in again for number in numbers_of(batch)) == wanted


def _all_in_hand(source: Source, count: int = COUNT) -> list[Batch]:
    """So many tasks, in batches of which none is left."""
    batches: list[Batch] = []
    while (in_hand := sum(len(batch.raws) for batch in batches)) < count:
        batches.append(one_batch(source, min(5, count - in_hand)))
    return batches


def _shuffled(batches: Sequence[Batch], seed: int) -> list[Place]:
    places = [(batch, index) for batch in batches for index in range(len(batch.raws))]
    random.Random(seed).shuffle(places)  # noqa: S311 - a test's
    return places


def _numbers_at(places: Iterable[Place]) -> list[int]:
    return [numbers_of(batch)[index] for batch, index in places]


def _settle(source: Source, places: Sequence[Place], seed: int) -> None:
    """Settle tasks in this order, some by themselves, some in one call, and runs of a batch together."""
    chance = random.Random(seed)  # noqa: S311 - a test's
    settlements: list[Settlement] = []
    for batch, index in places:
        last = settlements[-1] if settlements else None
        if last is not None and last.batch is batch and last.stop == index:
            settlements[-1] = last._replace(stop=index + 1)
            continue
        if settlements and chance.random() < 0.5:
            source.settle(settlements, is_due=chance.random() < 0.3)
            settlements = []
        settlements.append(Settlement(batch, index, index + 1, DONE))
    source.settle(settlements, is_due=False)


def _keep(source: Source) -> None:
    """What the keeper does each second."""
    if isinstance(source, Leased):
        source.tick()
    if isinstance(source, Measured):
        source.lag()
