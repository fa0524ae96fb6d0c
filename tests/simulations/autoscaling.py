"""Workers and their load, as a model: arrivals, a backlog, workers that take a while to start. Time is simulated."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from consumerd.config.keys.worker_range import WorkerRange
from consumerd.master.rules.autoscale import Judgement, Measurement, judge

STEP_S = 1.0
LOOK_EVERY_S = 7.5
START_S = 2.0
"""How long a new worker takes until it handles."""
SETTLE_S = 1.0
"""So long a handled task still counts as behind."""

Load = Callable[[float], float]
"""Tasks a second that come in, at a time."""


@dataclass
class Workers:
    """A pool. rate: tasks a second of one worker; shards: how many can have something to do."""

    rate: float
    number: int
    shards: int | None = None
    backlog: float = 0.0
    finished: float = 0.0
    starting: list[float] = field(default_factory=list)

    def work(self, arrivals: float, at: float, chance: random.Random) -> None:
        """One step: no step of a worker is quite like another."""
        self.starting = [ready_at for ready_at in self.starting if ready_at > at]
        running = self.number - len(self.starting)
        employed = running if self.shards is None else min(running, self.shards)
        done = min(self.backlog + arrivals, employed * self.rate * STEP_S * chance.uniform(0.8, 1.2))
        self.backlog += arrivals - done
        self.finished += done

    def scale(self, number: int, at: float) -> None:
        self.starting += [at + START_S] * (number - self.number)
        self.starting = self.starting[:number]
        self.number = number


@dataclass(frozen=True)
class Moment:
    """What was, at a time."""

    at: float
    arrivals: float
    backlog: float
    workers: int


@dataclass(frozen=True)
class Run:
    """A simulated run. changes: (when, from, to)."""

    moments: tuple[Moment, ...]
    changes: tuple[tuple[float, int, int], ...]
    last: Judgement


def simulate(load: Load, bounds: WorkerRange, workers: Workers, *, seconds: float, seed: int = 1) -> Run:
    """Let the workers work off the load, and change their number as `judge` says."""
    chance = random.Random(seed)
    moments, changes = [], []
    judgement: Judgement | None = None
    next_look, finished_of_late = LOOK_EVERY_S, [0.0] * int(SETTLE_S / STEP_S)
    for step in range(int(seconds / STEP_S)):
        at = step * STEP_S
        arrivals = poisson(load(at) * STEP_S, chance)
        before = workers.finished
        workers.work(arrivals, at, chance)
        finished_of_late = [*finished_of_late[1:], workers.finished - before]
        moments.append(Moment(at, arrivals / STEP_S, workers.backlog, workers.number))
        if at >= next_look:
            next_look = at + LOOK_EVERY_S
            judgement = judge(judgement, look(workers, at, sum(finished_of_late)), bounds)
            if judgement.wanted != workers.number:
                changes.append((at, workers.number, judgement.wanted))
                workers.scale(judgement.wanted, at)
    assert judgement is not None
    return Run(tuple(moments), tuple(changes), judgement)


def look(workers: Workers, at: float, unsettled: float) -> Measurement:
    return Measurement(
        at,
        workers.number,
        workers.number - len(workers.starting),
        finished=int(workers.finished),
        behind=math.ceil(workers.backlog + unsettled),
        shards=workers.shards,
    )


def poisson(mean: float, chance: random.Random) -> int:
    """A number of events, of which so many are expected."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, number = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        number += 1
    return number


# Loads


def bursts(every_s: float, tasks: int, base: float) -> Load:
    """So many tasks within five seconds, again and again, from the hundredth second on."""

    def load(at: float) -> float:
        since = (at - 100.0) % every_s if at >= 100.0 else math.inf
        return base + (tasks / 5.0 if since < 5.0 else 0.0)

    return load


def days(day_s: float, most: float) -> Load:
    """Nothing at night, the most at noon."""
    return lambda at: most * (1 - math.cos(2 * math.pi * at / day_s)) / 2


def noise(mean: float, seed: int) -> Load:
    """A load that changes every half minute, by up to a half, for no reason."""
    factors = [random.Random(seed * 1000 + number).uniform(0.5, 1.5) for number in range(1000)]
    return lambda at: mean * factors[int(at / 30) % len(factors)]
