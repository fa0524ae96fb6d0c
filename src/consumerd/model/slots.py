"""The states of slots, zygotes and pools, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

MOST_WORKERS = 4096
"""Of one pool."""

MOST_LANES = 1024
"""A worker runs at most so many tasks at once."""


class SlotState(StrEnum):
    """absent: no process; starting: forked, not ready; running: in its loop; stalled: in its loop, and makes no
    progress; draining: asked to leave; backing_off: died, starts again when due; finished: its source ended, and it
    is not started again.
    """

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    STALLED = "stalled"
    DRAINING = "draining"
    BACKING_OFF = "backing_off"
    FINISHED = "finished"


class PoolState(StrEnum):
    """loading: its zygote has not said that the code is sound; up; failed: nothing new starts, what runs runs on;
    stopping; gone: no process is left.
    """

    LOADING = "loading"
    UP = "up"
    FAILED = "failed"
    STOPPING = "stopping"
    GONE = "gone"


class ZygoteState(StrEnum):
    """absent: no process; loading: executed, importing; ready: forks; leaving: asked to, or about to by itself."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    LEAVING = "leaving"


_LEAVES = frozenset({SlotState.DRAINING, SlotState.BACKING_OFF, SlotState.FINISHED, SlotState.ABSENT})
"""What any slot with a worker may become; absent where its zygote died before it could name the process."""

# absent, finished and backing_off → backing_off: the system refused the master what a process needs.
SLOT_MOVES: Mapping[SlotState, frozenset[SlotState]] = {
    SlotState.ABSENT: frozenset({SlotState.STARTING, SlotState.BACKING_OFF}),
    SlotState.STARTING: _LEAVES | {SlotState.RUNNING},
    SlotState.RUNNING: _LEAVES | {SlotState.STALLED},
    SlotState.STALLED: _LEAVES | {SlotState.RUNNING},
    SlotState.DRAINING: frozenset({SlotState.ABSENT}),
    SlotState.BACKING_OFF: frozenset({SlotState.STARTING, SlotState.BACKING_OFF, SlotState.ABSENT}),
    SlotState.FINISHED: frozenset({SlotState.STARTING, SlotState.BACKING_OFF, SlotState.ABSENT}),
}

POOL_MOVES: Mapping[PoolState, frozenset[PoolState]] = {
    PoolState.LOADING: frozenset({PoolState.UP, PoolState.FAILED, PoolState.STOPPING}),
    PoolState.UP: frozenset({PoolState.FAILED, PoolState.STOPPING}),
    PoolState.FAILED: frozenset({PoolState.LOADING, PoolState.UP, PoolState.STOPPING}),
    PoolState.STOPPING: frozenset({PoolState.GONE}),
    PoolState.GONE: frozenset(),
}

ZYGOTE_MOVES: Mapping[ZygoteState, frozenset[ZygoteState]] = {
    ZygoteState.ABSENT: frozenset({ZygoteState.LOADING}),
    ZygoteState.LOADING: frozenset({ZygoteState.READY, ZygoteState.LEAVING, ZygoteState.ABSENT}),
    ZygoteState.READY: frozenset({ZygoteState.LEAVING, ZygoteState.ABSENT}),
    ZygoteState.LEAVING: frozenset({ZygoteState.ABSENT}),
}

StateT = TypeVar("StateT", SlotState, PoolState, ZygoteState)


def moved(moves: Mapping[StateT, frozenset[StateT]], current: StateT, following: StateT) -> StateT:
    """`following`, which the table must allow after `current`."""
    assert following in moves[current], f"{current} may not become {following}"
    return following


LOOPING = frozenset({SlotState.RUNNING, SlotState.STALLED})
"""The states of a slot whose worker is in its loop, and was not asked to leave."""

LIVE = LOOPING | {SlotState.STARTING}
"""The states of a slot whose process was not asked to leave."""

OCCUPIED = LIVE | {SlotState.DRAINING}
"""The states of a slot that holds a process."""

SERVING = frozenset({SlotState.RUNNING, SlotState.FINISHED})
"""The states of a slot that does, or has done, its part."""
