"""What may keep a task from starting though a lane is free: a limit, a destination that is down, the share of retries.

The loop's thread asks. A task that must wait stands at a *gate* of the line-up: it keeps its key and takes no lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from consumerd.worker.attempts.attempt import Conclusion
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lineup import Lineup

SHOW_EVERY_S = 0.2

Waiting = Callable[[Hashable], tuple[int, float]]
"""How many tasks wait at a gate, and since when the first of them does."""


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


@runtime_checkable
class Shared(Rule, Protocol):
    """A rule about what this worker shares with others, who want to know who waits here."""

    common_gate: Hashable
    """The gate of all tasks, where there is but one: while tasks wait at it no further ones are fetched; or None."""

    def show(self, waiting: Waiting) -> None:
        """Write for others to see who waits; called a few times a second."""


@runtime_checkable
class PutsOff(Protocol):
    """A rule by which tasks may wait so long that they are put off."""

    def put_off(self, is_left: Callable[[InHand], bool] | None) -> Iterable[tuple[InHand, Conclusion]]:
        """Those that are put off now, and not in the line-up any more. is_left: tasks that the worker leaves."""


class Rules:
    """The rules of one worker, in the order in which they are asked."""

    def __init__(self, rules: Sequence[Rule], lineup: Lineup[InHand]) -> None:
        self._rules = rules
        self._shared = [rule for rule in rules if isinstance(rule, Shared)]
        self._lineup = lineup
        self._show_at = 0.0
        self._putting_off = [rule for rule in rules if isinstance(rule, PutsOff)]

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
        gates = (rule.common_gate for rule in self._shared if rule.common_gate is not None)
        return any(self._lineup.held_at(gate) >= width for gate in gates)

    def show(self, now: float) -> None:
        """Have others see who waits, when it is time to."""
        if self._shared and now >= self._show_at:
            self._show_at = now + SHOW_EVERY_S
            for rule in self._shared:
                rule.show(self._waiting)

    def _waiting(self, gate: Hashable) -> tuple[int, float]:
        first = self._lineup.first_at(gate)
        return self._lineup.held_at(gate), 0.0 if first is None else first.waits_since

    def put_off(self, is_left: Callable[[InHand], bool] | None) -> Iterator[tuple[InHand, Conclusion]]:
        """Tasks that have waited for too long; or, where the worker leaves some, what waits of these."""
        for rule in self._putting_off:
            yield from rule.put_off(is_left)

    def _leave(self, rules: Sequence[Rule], task: InHand, *, was_begun: bool) -> bool:
        counts = True
        for rule in rules:
            if (gate := rule.gate(task)) is not None:
                counts = not rule.leave(task, was_begun=was_begun) and counts
                self._lineup.wake(gate)
        return not counts
