"""The totals over all pools."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from consumerd.dashboard.history import UNKNOWN
from consumerd.dashboard.pages.overview import _totals
from consumerd.dashboard.view.figures import NOTHING, seconds


def row(lag_s: float) -> Any:  # a row of which only this is asked
    pool = SimpleNamespace(parked_now=None, workers_running=1, workers_wanted=1)
    return SimpleNamespace(pool=pool, rate=1.0, failed=0.0, lag_tasks=5.0, lag_s=lag_s)


def test_an_age_that_nobody_knows_is_not_shown_as_none() -> None:
    assert math.isnan(_totals([row(UNKNOWN)])["lag_s"])
    assert seconds(_totals([row(UNKNOWN)])["lag_s"]) == NOTHING
    assert _totals([row(UNKNOWN), row(0.0), row(3.0)])["lag_s"] == 3.0
