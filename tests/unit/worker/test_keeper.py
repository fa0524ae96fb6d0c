"""How often the lag is measured."""

import pytest

from consumerd.config.shape import WorkerRange
from consumerd.worker.keeper import lag_interval_s


@pytest.mark.parametrize(("target_s", "interval_s"), [(1.0, 1.0), (8.0, 2.0), (30.0, 7.5), (600.0, 10.0)])
def test_the_lag_is_measured_more_often_where_it_has_to_be_worked_off_soon(target_s: float, interval_s: float) -> None:
    assert lag_interval_s(WorkerRange(max=2, target_seconds=target_s)) == interval_s
    assert lag_interval_s(None) == 10.0
