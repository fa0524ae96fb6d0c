"""Which attempts count as failures, and which among those that fail one after the other."""

from __future__ import annotations

from typing import Any

import pytest

from consumerd.testing.running import Run
from consumerd.wire.recent import KEPT, recent_in
from unit.worker.tasks.loops import Recording

ONE_AND_SEVERAL = pytest.mark.parametrize("configs", [{}, {"concurrency": 4}])


@ONE_AND_SEVERAL
def test_a_retry_that_the_handler_asked_for_is_no_failure(configs: dict[str, Any]) -> None:
    run = Run(Recording, ["retry"] * KEPT + ["fail"], configs={"task_retry_times": 0, **configs})
    run.until_idle()
    run.clock.advance(5)
    run.turn(20)
    reading = run.board.read()
    assert (reading.failed, reading.asked) == (1, 2 * KEPT), "those that were parked have asked again"
    assert len(recent_in(run.board.words).failed_ns) == 1
    run.stop()


@ONE_AND_SEVERAL
def test_a_task_that_fails_again_and_again_counts_once_among_those_that_fail_in_a_row(configs: dict[str, Any]) -> None:
    run = Run(Recording, ["fail"] * 3, configs={"task_retry_times": 1, "back_off_time": 1, **configs})
    for _ in range(5):
        run.until_idle()
        run.clock.advance(20)
    assert run.board.read().failed > 3
    assert len(recent_in(run.board.words).failed_ns) == 3
    run.stop()
