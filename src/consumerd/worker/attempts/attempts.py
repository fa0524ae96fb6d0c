"""Takes tasks to their outcomes, one after the other. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable

from consumerd.model.task import Task
from consumerd.worker.attempts.attempt import Attempt, Conclusion, Unfinished
from consumerd.worker.attempts.hooks import Fullness, Hooks
from consumerd.worker.attempts.judge import Judge
from consumerd.worker.attempts.maker import AttemptMaker
from consumerd.worker.tasks.context import WorkerContext

PAUSE_AT_ONCE_S = 5.0
"""A pause between two attempts is no attempt that does not end: it is told of so often."""


class Attempts:
    """Has attempts made at one task at a time, and judges them; one thread calls it.

    It never waits for long: `go_on` returns where something interrupts, and goes on from there when called again.
    """

    def __init__(
        self,
        context: WorkerContext,
        maker: AttemptMaker,
        judge: Judge,
        hooks: Hooks,
        fullness: Fullness,
        *,
        wait: Callable[[float], object] | None = None,
        is_interrupted: Callable[[], bool] | None = None,
    ) -> None:
        """wait, is_interrupted: how a thread waits that is not the loop's, and what makes it look up."""
        self._maker = maker
        self._judge = judge
        self._hooks = hooks
        self._fullness = fullness
        self._clock = context.clock
        self._lane = context.board.lane
        self._wait = wait or context.interrupts.wait
        self._is_interrupted = is_interrupted or context.interrupts.are_set
        self._in_hand: Attempt | None = None
        self._is_leaving = False

    @property
    def task(self) -> Task | None:
        """The task in hand."""
        return None if self._in_hand is None else self._in_hand.task

    def begin(self, attempt: Attempt) -> None:
        """Take this one in hand."""
        self._in_hand, self._is_leaving = attempt, False
        self._judge.begin(attempt)

    def leave(self) -> None:
        """Make no further attempt: the worker stops, or has the task no longer."""
        self._is_leaving = True

    def go_on(self) -> Conclusion | None:
        """Take the task in hand to its conclusion; None where something interrupts before."""
        attempt, conclusion = self._in_hand, None
        assert attempt is not None
        while conclusion is None:
            if attempt.not_before is not None and not self._has_waited(attempt.not_before):
                if not self._is_leaving:
                    return None
                conclusion = attempt.unfinished()
                break
            attempt.not_before = None
            if attempt.ended is None:
                self._lane.attempt_goes_on()
            conclusion = self._judge.conclusion(attempt, attempt.ended or self._maker.make(attempt))
        self._in_hand = None
        self._fullness.conclude()
        if conclusion.outcome is not Unfinished.UNTRIED:
            self._hooks.post_handle_task()
        return conclusion

    def _has_waited(self, until: float) -> bool:
        """Wait for the next step; false where something interrupts."""
        while not (self._is_leaving or self._is_interrupted()):
            left = until - self._clock.monotonic()
            if left <= 0:
                return True
            self._lane.attempt_goes_on()
            self._wait(min(left, PAUSE_AT_ONCE_S))
        return False
