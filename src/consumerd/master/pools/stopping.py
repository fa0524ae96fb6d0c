"""A stop that takes a while: for whom it waits, and how it is cut short. Runs in the master."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from consumerd import events
from consumerd.events.facts import Fact
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.rules import history
from consumerd.wire.messages import Stop

HURRIED_S = 2.0
"""So long workers have once somebody has pressed Ctrl-C again: what has ended is settled, what runs comes again."""

SAME_PRESS_S = 0.5
"""A second SIGINT so soon is the first one: a terminal sends it to everybody, and who started the master passes it on.
"""

TELL_AFTER_S, TELL_EVERY_S = 3.0, 10.0
"""When it is first told for whom a stop waits, and how often again."""

MOST_NAMED = 5


class Waiting:
    """Tells, while a stop takes its time, for whom it waits."""

    def __init__(self) -> None:
        self._tell_at: float | None = None

    def begin(self, now: float) -> None:
        """The stop begins."""
        self._tell_at = now + TELL_AFTER_S

    def turn(self, pools: Iterable[Pool], deadline: float, now: float) -> Fact | None:
        """What is to be told now, if anything."""
        if self._tell_at is None or now < self._tell_at:
            return None
        self._tell_at = now + TELL_EVERY_S
        waits_for, first = told_waited_for(pools), next(waited_for(pools), None)
        if first is None:
            return None
        stacks = f"consumerd stacks {first[0].consumer}#{first[1]} shows where it is"
        hurry = f"Ctrl-C, or kill -INT {os.getpid()}, leaves them {HURRIED_S:g} s: what they run is run again later"
        ends_in_s = round(max(0.0, deadline - now), 1)
        return events.stop_waits(waits_for=waits_for, ends_in_s=ends_in_s, advice=f"{stacks}; {hurry}")

    @property
    def next_at(self) -> float | None:
        """When it is due again."""
        return self._tell_at


def hurry(pool: Pool, deadline: float) -> None:
    """Have a pool that stops be gone sooner; its processes are told. Nothing is done where that is later."""
    assert pool.wanted.stop_deadline is not None
    if deadline < pool.wanted.stop_deadline:
        pool.wanted = replace(pool.wanted, stop_deadline=deadline)
        pool.become(history.hurried(pool.observed, deadline))
        pool.tell_workers(Stop(deadline, is_last=True))


def waited_for(pools: Iterable[Pool]) -> Iterator[tuple[Pool, int, Worker]]:
    """The workers that are still there."""
    for pool in pools:
        for number, worker in sorted(pool.workers.items()):
            if pool.observed.slots[number].is_occupied and not worker.has_ended():
                yield pool, number, worker


def told_waited_for(pools: Iterable[Pool]) -> str:
    """The same in words: the first of them, each with what it does, and how many more there are."""
    told = [f"{pool.consumer}#{number} ({_doing(worker)})" for pool, number, worker in waited_for(pools)]
    more = f", and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return ", ".join(told[:MOST_NAMED]) + more


def _doing(worker: Worker) -> str:
    process = "no process yet" if worker.pid is None else f"process {worker.pid}"
    if worker.ready_at is None:
        return f"{process}: it has not come to its loop, and may be in its pre_consume"
    reading = worker.reading()
    running = 0 if reading is None else len(reading.busy)
    tasks = "a task" if running == 1 else f"{running} tasks"
    return f"{process}: it runs {tasks}" if running else f"{process}: it settles, or is in its post_consume"
