"""`PYTHONPATH=tests python -m simulations.plot > docs/plots/autoscale.svg`: one simulated run, as a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from consumerd.config.keys.worker_range import WorkerRange
from simulations.autoscaling import Load, Moment, Run, Workers, bursts, days, simulate
from simulations.drawing import BLUE, DARK_RED, GREY, Line, Panel, Picture

SECONDS = 3600.0
BOUNDS = WorkerRange(min=1, max=12, target_seconds=30.0)
RATE = 10.0
SAMPLE = 10
"""One moment in so many is drawn."""


def load() -> Load:
    """A wave within the hour, and two bursts on it."""
    wave, peaks = days(SECONDS, most=60.0), bursts(1500, 3000, base=0.0)
    return lambda at: wave(at) + peaks(at)


def simulated() -> Run:
    return simulate(load(), BOUNDS, Workers(RATE, BOUNDS.min), seconds=SECONDS)


def svg(run: Run) -> str:
    """The picture, as text."""
    moments = [_widest(run.moments[index : index + SAMPLE]) for index in range(0, len(run.moments), SAMPLE)]
    bounds = f"workers {BOUNDS.min} to {BOUNDS.max}, target_seconds {BOUNDS.target_seconds:.0f}"
    arrivals = Line("tasks a second that come in", GREY, [moment.arrivals for moment in moments])
    behind = Line("tasks behind", DARK_RED, [moment.backlog for moment in moments])
    workers = Line("workers", BLUE, [float(moment.workers) for moment in moments], is_stepped=True)
    return Picture(
        title=f"A simulated hour: {bounds}, a worker does {RATE:.0f} tasks a second",
        times=[moment.at for moment in moments],
        seconds=SECONDS,
        panels=[Panel([line]) for line in (arrivals, behind, workers)],
        ticks=[(minute * 60.0, f"{minute} min") for minute in range(0, int(SECONDS / 60) + 1, 10)],
    ).svg()


def _widest(sample: Sequence[Moment]) -> Moment:
    """The moment of a sample that must not be missing from the picture."""
    return max(sample, key=lambda moment: moment.backlog)


if __name__ == "__main__":
    sys.stdout.write(svg(simulated()))
