"""Since when a board stands as it does: how those who only look date an attempt. Runs in the master and in workers.

A fast loop reads no clock: that it goes on shows in the offset alone. So an attempt is dated from the first look at
which the board stood as it does now, which is at most one look late. Where several run, each lane says itself when its
attempt began; and one that hangs is dated by its own lane, whatever becomes of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumerd.wire.board import (
    ASKED,
    ATTEMPT_SINCE_NS,
    GENERATION,
    HANDLED,
    LANE_WORDS,
    LANES,
    LANES_AT,
    UNSETTLED,
)

Mark = Sequence[int]
"""All that a loop that goes on changes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """words: of the board; mark: of those. since_s: when it was first seen so, on the monotonic clock.

    lanes: since when each lane is on what it is on; None of one in which nothing runs.
    """

    words: Sequence[int]
    mark: Mark
    since_s: float
    lanes: tuple[float | None, ...]

    @property
    def is_busy(self) -> bool:
        """Whether anything runs."""
        return self.oldest is not None

    @property
    def oldest(self) -> tuple[int, float] | None:
        """The lane that has been on its task for the longest time, and since when."""
        dates = ((date, number) for number, date in enumerate(self.lanes) if date is not None)
        date, number = min(dates, default=(0.0, None))
        return None if number is None else (number, date)

    @property
    def youngest_s(self) -> float | None:
        """Since when the lane is on its task that began last."""
        return max((date for date in self.lanes if date is not None), default=None)


def standing(before: Standing | None, words: Sequence[int], now: float, *, unseen_s: float = 0.0) -> Standing:
    """What is known after this look at the words of a board, as `look_at` found them.

    unseen_s: how long nobody could look, which counts against no one.
    """
    # without the flags and others, which change while a handler runs
    mark = [*words[GENERATION:UNSETTLED], words[ASKED], *words[LANES_AT:]]
    if before is None or before.mark != mark:
        dates = (_date(before, words, start, now, unseen_s) for start in range(LANES_AT, len(words), LANE_WORDS))
        return Standing(words, mark, now, tuple(dates))
    if not unseen_s:
        return Standing(words, mark, before.since_s, before.lanes)
    lanes = tuple(None if date is None else min(now, date + unseen_s) for date in before.lanes)
    return Standing(words, mark, min(now, before.since_s + unseen_s), lanes)


def _date(before: Standing | None, words: Sequence[int], start: int, now: float, unseen_s: float) -> float | None:
    """Since when the lane that begins with this word is on what it is on."""
    if not words[start]:
        return None
    if before is not None and start < len(before.words) and _of_lane(before.words, start) == _of_lane(words, start):
        known = before.lanes[(start - LANES_AT) // LANE_WORDS]
        assert known is not None
        return min(now, known + unseen_s)
    return min(now, max(words[start], words[start + ATTEMPT_SINCE_NS]) / 1e9) if words[LANES] > 1 else now


def _of_lane(words: Sequence[int], start: int) -> Sequence[int]:
    """What changes where a lane goes on; that tasks have ended says it too, where nothing runs beside it."""
    lane = words[start : start + LANE_WORDS]
    return lane if words[LANES] > 1 else [*lane, *words[HANDLED:UNSETTLED], words[ASKED]]
