"""Tasks that have waited in hand for long, since what they need is down: when they are put off, so that the others can
go on. Runs in workers and the foreground.

A task that waits takes no lane; but it is unsettled, and of a source with positions everything behind it is, too. So
tasks wait in hand as long as there is room for it, and half of what may be unsettled is. Then they are parked as
waiting, or their row's due time is moved, and no attempt is counted. One at each destination stays, as its next probe.
A task that has been attempted expires as it would elsewhere, also where each attempt since was a probe.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from consumerd.model.failure import Failure
from consumerd.model.outcome import Expired, Outcome, Retry, RetryPolicy, within_expiry
from consumerd.sources.contract import Source
from consumerd.worker.attempts.attempt import Conclusion
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lineup import Lineup

LOOK_S = 0.2

FULL, VERY_FULL = 1 / 2, 3 / 4
"""So much of what may be unsettled is. Beyond the second, no task stays as a probe: a new one comes, or one is due."""

SHORTEST_S, LONGEST_S = 5.0, 600.0
"""A task is put off for as long as its destination has been down, within these bounds and `max_back_off_time`: so it is
looked at twice as late each time, and a long outage costs no more than a short one."""


class Away(NamedTuple):
    """The gate of a destination that is not closed; for how many seconds it has not been, and whether it returns."""

    gate: str
    for_s: float
    is_returning: bool = False


class PuttingOff:
    """Of one worker; the loop's thread calls it."""

    def __init__(
        self, context: WorkerContext, source: Source, lineup: Lineup[InHand], policy: RetryPolicy, width: int
    ) -> None:
        self._common = context.common
        self._clock = context.clock
        self._source = source
        self._lineup = lineup
        self._policy = policy
        self._width = width
        self._look_at = 0.0
        is_deferring = source.traits.durable_defer or policy.back_off_s is not None
        self._may = is_deferring and context.common.ordered is None

    def when_full(self, away: Iterable[Away]) -> Iterator[tuple[InHand, Conclusion]]:
        """Tasks that are put off now."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        unsettled = self._source.unsettled() / self._common.max_unsettled if self._may else 0.0
        for each in away:
            held, over = list[InHand](), list[InHand]()
            for task in self._lineup.held(each.gate):
                (over if self._is_over(task) else held).append(task)
            yield from self._put_off(each, over, 0.0)
            if unsettled >= VERY_FULL:
                chosen = held
            elif unsettled >= FULL:
                chosen = held[:-1]
            else:
                chosen = self._beyond_lanes(held)
            longest_s = min(LONGEST_S, self._policy.max_back_off_s or LONGEST_S)
            yield from self._put_off(each, chosen, min(max(SHORTEST_S, each.for_s), longest_s))

    def when_left(self, away: Iterable[Away], is_left: Callable[[InHand], bool]) -> Iterator[tuple[InHand, Conclusion]]:
        """What waits of the tasks that the worker leaves. Of a source with positions it must not have those behind it
        repeated; another one gives it to somebody else.
        """
        if self._may and self._source.traits.positional:
            for each in away:
                held = [task for task in self._lineup.held(each.gate) if task.parked is None]
                yield from self._put_off(each, [task for task in held if is_left(task)], 0.0)

    def _is_over(self, task: InHand) -> bool:
        """Whether its retries would go on past `expire_time`, if its destination were back at once."""
        return isinstance(self._then(task, 0.0), Expired)

    def _then(self, task: InHand, after: float) -> Outcome:
        first_at = task.attempt.first_at or task.task.first_at
        return within_expiry(self._policy, after, first_at, self._clock.wall()) if first_at else Retry(after)

    def _beyond_lanes(self, held: list[InHand]) -> list[InHand]:
        """Parked tasks that were due, all but one: they take up what others that are due would have."""
        parked = [task for task in held if task.parked]
        return parked[:-1] if len(parked) > self._width // 4 else []

    def _put_off(self, away: Away, chosen: list[InHand], after_s: float) -> Iterator[tuple[InHand, Conclusion]]:
        gone = set(map(id, chosen))
        if gone:
            self._lineup.drop(lambda task: id(task) in gone)
        name, how = away.gate.split(" ", 2)[-1], "returning" if away.is_returning else "down"
        failure = Failure(f"it waits for {name}, which is {how}; no attempt was made")
        for task in chosen:
            outcome = self._then(task, after_s * random.uniform(0.8, 1.0))  # noqa: S311 - it only spreads
            yield task, Conclusion(task.task, outcome, failure, was_tried=False)
