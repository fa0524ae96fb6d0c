"""A short chaos run: nothing is lost, every repeat has its fault, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.scenarios.chaos import Chaos

SECONDS, WORKERS, FAULTS_A_SECOND = 20.0, 8, 4.0


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_whatever_is_done_to_the_workers(tmp_path: Path, seed: int) -> None:
    report = Chaos(tmp_path, workers=WORKERS, seed=seed).run(SECONDS, faults_a_second=FAULTS_A_SECOND)
    assert report.complaints == [], str(report)
    assert report.rows > 0
    assert report.faults["kill"] > 0
