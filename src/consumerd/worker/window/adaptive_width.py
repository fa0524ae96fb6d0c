"""How many tasks to run at once, by what they cost. Pure, the time is given.

As long as tasks do not hold each other up, one takes as long beside others as alone. Beyond some number, the *knee*,
each waits for the others: it takes longer, and no more of them get done. The width is kept a little beyond the knee. It
follows the gradient, what a task costs without a queue over what one costs now, as in Netflix's concurrency-limits and
Envoy's adaptive concurrency; what one costs without a queue is found out by a look at half the width now and then.

What a task costs is the time of all attempts over the number of those that were done: one that fails or times out
counts like a slower one, and where always the same share of them fails, that changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TOLERANCE = 0.2
"""So much more than without a queue a task may cost: so far beyond the knee the width comes to rest."""
STEEPEST = 0.5
"""In one step the width shrinks to this part, at most."""
AT_FIRST, FIRST_GROWTH = 4, 2.0
"""It begins with so many, or with the least, and grows by so much in a step until it has come to a knee; from then on
by what is tolerated. What serves a client serves so few calls at once, if not quickly."""

FEWEST, FEWEST_S = 10, 0.1
"""A window has so many attempts and such a time, at least, and one attempt for each that may run at once."""
SHORTEST_S = 1e-6
"""An attempt that takes less is too short for the clock."""
ERROR, ERROR_OF_A_LOOK = 0.1, 0.05
MOST, MOST_A_LANE = 50, 20
"""Where attempts differ, a window goes on until their mean is known so well, or until it has so many of them. What is
seen in a look at half the width holds for long, and has to be known better."""

USED = 0.75
"""Where fewer than this part of the width run, something else holds tasks back, and the width stays as it is."""

FIRST_LOOK, LAST_LOOK = 8, 100
"""After so many windows is the first look at half the width; each further one after twice as many, up to the last."""
QUICKER = 0.7
"""If a task costs less than this part of what is thought without a queue, that is looked at now."""
SAME = 0.85
"""If a task costs the same at half the width, or hardly less, it costs that without a queue."""
CLOSER = 0.25
"""What is known from before comes so much closer to what a window shows: how much attempts differ; and, where a task
costs less than that, what one costs without a queue."""


@dataclass(slots=True)
class Window:
    """What has ended since `began`. squares: of the seconds. at_once: how many ran, added up over all that ended.

    spread_before: how much attempts differed before: the square of their deviation over that of their mean.
    """

    began: float
    spread_before: float
    ended: int = 0
    done: int = 0
    seconds: float = 0.0
    squares: float = 0.0
    at_once: int = 0

    def add(self, took_s: float, at_once: int, *, is_done: bool) -> None:
        """An attempt has ended."""
        self.ended += 1
        self.done += is_done
        self.seconds += took_s
        self.squares += took_s * took_s
        self.at_once += at_once

    def is_over(self, now: float, width: int, error: float) -> bool:
        """Whether its mean is known so well."""
        if self.ended < max(FEWEST, width) or now - self.began < FEWEST_S:
            return False
        needed = max(self.spread, self.spread_before) / error**2
        return self.ended >= min(needed, max(MOST, MOST_A_LANE * width))

    @property
    def spread(self) -> float:
        """As `spread_before`, of this window: but few attempts may all be alike by chance."""
        return self.ended * self.squares / self.seconds**2 - 1 if self.seconds else 0.0

    @property
    def cost_s(self) -> float:
        """Of one task that is done; infinite where none is."""
        return self.seconds / self.done if self.done else math.inf

    @property
    def settling_s(self) -> float:
        """So long after a change of the width what ends shows the new one: as long as the attempt takes in which a
        moment of a lane falls, on average. A few slow ones among many quick ones take most of the time.
        """
        return self.squares / self.seconds if self.seconds else 0.0


class AdaptiveWidth:
    """Of one worker. Each time that it has come down to the least it begins to grow anew."""

    def __init__(self, least: int, most: int, now: float) -> None:
        self._least, self._most = least, most
        self._width = float(max(least, min(AT_FIRST, most)))
        self._unqueued_s = math.inf
        self._wider: tuple[float, float] | None = None  # while it looks: the width before, and what a task cost there
        self._window = Window(now, 0.0)
        self._settling_s = 0.0
        self._begin_anew()

    @property
    def width(self) -> int:
        """How many attempts may run at once from now on."""
        return int(self._width)

    def note(self, now: float, took_s: float, at_once: int, *, is_done: bool) -> None:
        """An attempt has ended that took so long; so many ran, with it. Times are monotonic."""
        window, width = self._window, self.width
        if at_once > width:
            window.began = now + self._settling_s  # it has shrunk, and they have not come down yet
        if now < window.began:
            return
        window.add(max(took_s, SHORTEST_S), at_once, is_done=is_done)
        if window.is_over(now, width, ERROR if self._wider is None else ERROR_OF_A_LOOK):
            self._end(window.cost_s, is_used=window.at_once >= USED * width * window.ended)
            self._settling_s = window.settling_s
            spread = window.spread_before + CLOSER * (window.spread - window.spread_before)
            self._window = Window(now if self.width == width else now + self._settling_s, spread)

    def _begin_anew(self) -> None:
        self._is_growing = True
        self._steps = self._windows = 0
        self._look_after = FIRST_LOOK

    def _end(self, cost_s: float, *, is_used: bool) -> None:
        """A window is over."""
        wider, self._wider = self._wider, None
        if wider is not None:
            self._width = wider[0]
            if is_used and (SAME * wider[1] <= cost_s < math.inf or cost_s < self._unqueued_s):
                self._unqueued_s = cost_s
        elif is_used:
            if self.width == self._least:
                self._begin_anew()
            if cost_s < math.inf:
                self._learn(cost_s)
            self._move(cost_s)

    def _learn(self, cost_s: float) -> None:
        """What a task costs without a queue, as far as this width shows it: at first, and as long as it grows and
        that makes no difference, the mean.
        """
        is_growing = self._is_growing and cost_s <= (1 + TOLERANCE) * self._unqueued_s
        if is_growing or not self._steps:
            self._steps += 1
            self._unqueued_s = (
                cost_s if self._steps == 1 else self._unqueued_s + (cost_s - self._unqueued_s) / self._steps
            )
        elif cost_s < QUICKER * self._unqueued_s:
            self._windows = self._look_after = FIRST_LOOK
        elif cost_s < self._unqueued_s:
            self._unqueued_s -= CLOSER * (self._unqueued_s - cost_s)

    def _move(self, cost_s: float) -> None:
        self._windows += 1
        if self._windows > self._look_after and self.width > self._least:
            self._wider, self._width = (self._width, cost_s), max(self._least, self._width / 2)
            self._windows, self._look_after = 0, min(LAST_LOOK, 2 * self._look_after)
            return
        gradient = (1 + TOLERANCE) * self._unqueued_s / cost_s if cost_s < math.inf else 0.0
        if gradient < 1 and self._is_growing:
            self._is_growing = False
            self._windows = self._look_after  # it may have begun beyond the knee
        factor = FIRST_GROWTH if self._is_growing else max(STEEPEST, min(1 + TOLERANCE, gradient))
        wanted = self._width * factor + math.sqrt(self._width) / 2
        self._width = min(self._most, max(self._least, wanted))
