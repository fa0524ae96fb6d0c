"""Short runs of chaos and of changes: nothing is lost, every repeat has its fault, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

from integration.scenarios.changes import Changes
from integration.scenarios.chaos import Chaos

SECONDS, WORKERS, FAULTS_A_SECOND, SEED = 20.0, 8, 4.0, 1
RELOADS, RESTARTS = 60, 6


def test_nothing_is_lost_whatever_is_done_to_the_workers(tmp_path: Path) -> None:
    report = Chaos(tmp_path, workers=WORKERS, seed=SEED).run(SECONDS, faults_a_second=FAULTS_A_SECOND)
    assert report.complaints == [], str(report)
    assert report.done["kill"] > 0


def test_reloads_and_rolling_restarts_under_load_repeat_nothing(tmp_path: Path) -> None:
    report = Changes(tmp_path).run(reloads=RELOADS, restarts=RESTARTS)
    assert report.complaints == [], str(report)
    assert report.repeats == 0
    assert report.done["restart"] == RESTARTS
