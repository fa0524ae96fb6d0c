"""How much of a worker retries may take while new tasks wait."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd import BaseConsumer, Retry
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run
from consumerd.worker.tasks.retry_share import RetryShare

RETRY_S, NEW_S = 5.0, 0.1
RETRIES = 40


class TimesOut(BaseConsumer):
    """A retry takes long and fails each time; a new task is done soon."""

    SOURCE: ClassVar[str] = "memory"
    clock: ManualClock

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.new = self.retried = 0

    def handle_task(self, offset: int, record: Any) -> object:
        if record == "new":
            self.new += 1
            self.clock.advance(NEW_S)
            return None
        self.retried += 1
        self.clock.advance(RETRY_S)
        return Retry(after=1)


class OneByOne(TimesOut):
    def pre_handle_task(self) -> None:
        """One hook overridden, so that the fast loop is passed by."""


def run_of(consumer_class: type[TimesOut], new: int, **configs: object) -> Run:
    run = Run(consumer_class, ["timeout"] * RETRIES + ["new"] * new, configs=configs)
    run.consumer.clock = run.clock
    while run.consumer.new == 0:
        run.turn()
    run.consumer.new = run.consumer.retried = 0
    return run


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("consumer_class", [TimesOut, OneByOne])
def test_retries_that_time_out_leave_new_tasks_their_part_of_the_time_and_each_has_its_turn(
    consumer_class: type[TimesOut], share: float
) -> None:
    run = run_of(consumer_class, 40_000, retry_share=share)
    lasts_s = 2 * RETRIES * RETRY_S / share
    began_at = run.clock.monotonic()
    while run.clock.monotonic() - began_at < lasts_s:
        run.turn()
    retried_s, new_s = RETRY_S * run.consumer.retried, NEW_S * run.consumer.new
    assert retried_s <= share * lasts_s + RETRY_S
    assert new_s >= (1 - share) * lasts_s - 2 * RETRY_S
    assert retried_s >= 0.8 * share * lasts_s
    assert min(row.attempts for row in run.store.rows.values()) >= 2


def test_while_no_new_task_waits_retries_have_all_the_time() -> None:
    run = run_of(TimesOut, 1)
    began_at = run.clock.monotonic()
    while run.consumer.retried < 3 * RETRIES:
        run.turn()
    assert run.clock.monotonic() - began_at < 1.2 * 3 * RETRIES * RETRY_S


@given(st.floats(0.01, 1), st.integers(1, 200), st.floats(0.001, 300))
def test_a_share_is_so_many_lanes_or_a_part_of_the_time_of_one(share: float, width: int, took_s: float) -> None:
    clock = ManualClock()
    of_retries = RetryShare(share, 1, clock)
    of_retries.fit(width)
    of_retries.note_new(wait=True)
    of_retries.note_retried(took_s)
    allowed = share * width
    if allowed >= 1:
        assert of_retries.lanes <= allowed
        assert not of_retries.rests
        return
    assert of_retries.lanes == 1
    clock.advance(0.99 * (took_s / allowed - took_s))
    assert of_retries.rests or allowed > 0.99
    clock.advance(0.02 * (took_s / allowed - took_s) + 0.001)
    assert not of_retries.rests


def test_a_retry_that_began_while_none_was_waiting_is_not_laid_to_it() -> None:
    of_retries = RetryShare(0.2, 1, ManualClock())
    of_retries.note_retried(300)
    of_retries.note_new(wait=True)
    assert not of_retries.rests
