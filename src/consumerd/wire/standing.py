"""Since when a board stands as it does: how those who only look date an attempt. Runs in the master and in workers.

A fast loop reads no clock: that it goes on shows in the offset alone. So an attempt is dated from the first look at
which the board stood as it does now, which is at most one look late.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.wire.board import Lane, Reading

Mark = tuple[int | tuple[Lane, ...], ...]
"""All that a loop that goes on changes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """since_s: when the board was first seen so, on the monotonic clock. is_busy: within a batch."""

    mark: Mark
    since_s: float
    is_busy: bool


def standing(before: Standing | None, reading: Reading, now: float, *, unseen_s: float = 0.0) -> Standing:
    """What is known after this look. unseen_s: how long nobody could look, which counts against no one."""
    mark = _mark(reading)
    if before is None or before.mark != mark:
        return Standing(mark, now, bool(reading.busy))
    return Standing(mark, min(now, before.since_s + unseen_s), before.is_busy)


def _mark(reading: Reading) -> Mark:
    """Not the flags, nor what is unsettled: those change while a handler runs."""
    return (
        reading.generation,
        reading.state,
        reading.turned_ns,
        reading.lanes,
        reading.handled,
        reading.failed,
        reading.parked,
    )
