"""Since when a board stands as it does: how those who only look date an attempt. Runs in the master and in workers.

A fast loop reads no clock: that it goes on shows in the offset alone. So an attempt is dated from the first look at
which the board stood as it does now, which is at most one look late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumerd.wire.board import GENERATION, LANE_WORDS, LANES_AT, UNSETTLED

Mark = Sequence[int]
"""All that a loop that goes on changes."""


@dataclass(frozen=True, slots=True)
class Standing:
    """since_s: when the board was first seen so, on the monotonic clock. is_busy: within a batch."""

    mark: Mark
    since_s: float
    is_busy: bool


def standing(before: Standing | None, words: Sequence[int], now: float, *, unseen_s: float = 0.0) -> Standing:
    """What is known after this look at the words of a board, as `look_at` found them.

    unseen_s: how long nobody could look, which counts against no one.
    """
    mark = mark_of(words)
    if before is None or before.mark != mark:
        return Standing(mark, now, any(words[LANES_AT::LANE_WORDS]))
    return Standing(mark, min(now, before.since_s + unseen_s), before.is_busy)


def mark_of(words: Sequence[int]) -> Mark:
    """Not the flags, nor what is unsettled: those change while a handler runs."""
    return [*words[GENERATION:UNSETTLED], *words[LANES_AT:]]
