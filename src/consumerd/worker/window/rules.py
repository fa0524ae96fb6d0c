"""What may keep a task from starting though a lane is free: a limit, a destination that is down, the share of retries.

The loop's thread asks. A task that must wait stands at a *gate* of the line-up: it keeps its key and takes no lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

from consumerd.worker.attempts.attempt import Conclusion
from consumerd.worker.window.destinations import Destinations
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.limits import Limit
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.retry_lanes import RetryLanes

SHOW_EVERY_S = 0.2


class Rule(Protocol):
    """One reason why a task may have to wait."""

    def gate(self, task: InHand) -> Hashable:
        """Where the task would wait, with all others that it shares the reason with; None: the rule is not about it."""

    def enter(self, task: InHand, now: float) -> float | None:
        """None where an attempt at the task may begin now; what it takes of a limit is taken then. Else when to ask
        again, on the monotonic clock.
        """

    def leave(self, task: InHand, *, was_begun: bool) -> bool:
        """The attempt has ended, as `task.ended` says, or it was not begun after all: what was taken is given back.

        True where the attempt does not count: the task is to begin anew when the rule lets it.
        """


class Rules:
    """The rules of one worker.

    hold_fresh: whether a task that was never tried may have to wait.
    """

    def __init__(
        self,
        lineup: Lineup[InHand],
        destinations: Destinations | None = None,
        limits: Sequence[Limit] = (),
        retries: RetryLanes | None = None,
    ) -> None:
        """They are asked in this order: a task whose destination is down takes nothing of limits."""
        self._rules = [rule for rule in (destinations, *limits, retries) if rule is not None]
        self.hold_fresh = destinations is not None or bool(limits)
        self._destinations = destinations
        self._limits = limits
        self._lineup = lineup
        self._show_at = 0.0

    def admit(self, task: InHand, now: float) -> bool:
        """Whether an attempt at the task may begin; else it waits at a gate."""
        for number, rule in enumerate(self._rules):
            gate = rule.gate(task)
            if gate is None:
                continue
            is_held = self._lineup.is_held(gate, task)
            again_at = now if is_held else rule.enter(task, now)
            if again_at is not None:
                task.waits_since = task.waits_since or now
                self._lineup.hold(task, gate, max(again_at, math.nextafter(now, math.inf)))  # once in a pass
                self._leave(self._rules[:number], task, was_begun=False)
                return False
        task.waits_since = 0.0
        return True

    def end(self, task: InHand, *, was_begun: bool = True) -> bool:
        """The attempt has ended, or was not begun: who waits at its gates is tried. True where it does not count."""
        return self._leave(self._rules, task, was_begun=was_begun)

    def are_shut(self, width: int) -> bool:
        """Whether so many tasks wait where every further one would have to wait as well."""
        gates = (limit.common_gate for limit in self._limits if limit.common_gate is not None)
        return any(self._lineup.held_at(gate) >= width for gate in gates)

    def show(self, now: float, *, is_idle: bool = False) -> None:
        """Have others see who waits for limits, when it is time to. is_idle: nobody does, which is shown at once."""
        if self._limits and (is_idle or now >= self._show_at):
            self._show_at = now + SHOW_EVERY_S
            for limit in self._limits:
                limit.show(self._waiting)

    def _waiting(self, gate: Hashable) -> tuple[int, float]:
        first = self._lineup.first_at(gate)
        return self._lineup.held_at(gate), 0.0 if first is None else first.waits_since

    def put_off(self, is_left: Callable[[InHand], bool] | None) -> Iterator[tuple[InHand, Conclusion]]:
        """Tasks that have waited for too long; or, where the worker leaves some, what waits of these."""
        if self._destinations is not None:
            yield from self._destinations.put_off(is_left)

    def _leave(self, rules: Sequence[Rule], task: InHand, *, was_begun: bool) -> bool:
        counts = True
        for rule in rules:
            if (gate := rule.gate(task)) is not None:
                counts = not rule.leave(task, was_begun=was_begun) and counts
                self._lineup.wake(gate)
        return not counts
