"""The duties of the master: what it looks at in each turn, of one pool after the other."""

from __future__ import annotations

from collections.abc import Callable

from consumerd.events.facts import Fact
from consumerd.master.duties.autoscaler import autoscale
from consumerd.master.duties.clock_watch import ClockWatch
from consumerd.master.duties.lag_duty import give_lag_duty
from consumerd.master.duties.leftover_workers import look_for_leftovers
from consumerd.master.duties.recycler import recycle
from consumerd.master.duties.throttling import throttle
from consumerd.master.duties.watchdog import watch
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker_messages import look_for_proof

Duty = Callable[[Pool, float], float | None]
"""Looks at a pool in each turn, before it is planned what to do; when to look again though nothing happens, if ever."""


def duties(emit: Callable[[Fact], None]) -> tuple[Duty, ...]:
    """All of them, in order."""
    clock_watch = ClockWatch(emit)
    looks = (look_for_proof, look_for_leftovers, watch, throttle, autoscale, recycle, give_lag_duty)
    return (*looks, clock_watch.look)
