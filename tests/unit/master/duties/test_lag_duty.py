"""Which worker of a pool measures the lag, by what its workers are told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.master.duties.lag_duty import give_lag_duty
from consumerd.master.pools.worker_messages import worker_ended
from consumerd.wire.messages import Measure
from unit.master.pools.test_messages import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, tmp_path)
    stage.up()
    yield stage
    stage.close()
    loop.close()


def test_the_lowest_worker_in_its_loop_measures_the_lag(stage: Stage) -> None:
    give_lag_duty(stage.pool, 0.0)
    give_lag_duty(stage.pool, 1.0)
    assert stage.sent_to_second() == []
    worker_ended(stage.pool, 0, 9, 2.0)
    give_lag_duty(stage.pool, 2.0)
    give_lag_duty(stage.pool, 3.0)
    assert stage.sent_to_second() == [Measure(is_wanted=True)]
    stage.fork(0, 4.0)
    give_lag_duty(stage.pool, 4.0)
    assert stage.sent_to_second() == [Measure(is_wanted=False)]
    assert stage.pool.lag_measurer == (0, 2)


def test_while_no_worker_is_in_its_loop_nobody_is_told(stage: Stage) -> None:
    for slot in (0, 1):
        worker_ended(stage.pool, slot, 9, 1.0)
    give_lag_duty(stage.pool, 1.0)
    assert stage.pool.lag_measurer is None
