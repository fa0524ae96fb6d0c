"""What becomes of a task in hand once an attempt at it has ended: it comes to its end, or waits for its next attempt.

Runs in workers and the foreground; the loop's thread alone calls it.
"""

from __future__ import annotations

from consumerd.clock import Clock
from consumerd.model.outcome import DONE, Retry
from consumerd.worker.attempts.attempt import Conclusion
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.tasks.suspects import Suspects
from consumerd.worker.window.batches import Batches
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.rules import Rules


class Concluding:
    """Of one window."""

    def __init__(
        self,
        hooks: Hooks,
        clock: Clock,
        lineup: Lineup[InHand],
        rules: Rules,
        batches: Batches,
        suspects: Suspects,
        *,
        is_ordered: bool,
    ) -> None:
        """is_ordered: a task that is put off keeps its key: elsewhere, it would be overtaken by the next of that."""
        self._hooks = hooks
        self._clock = clock
        self._lineup = lineup
        self._rules = rules
        self._batches = batches
        self._suspects = suspects
        self._is_ordered = is_ordered

    def conclude(self, task: InHand, conclusion: Conclusion | None) -> None:
        """A task that was taken from the line-up has come to its end; None: a further attempt is to be made."""
        if conclusion is not None and (conclusion.outcome is not DONE or task.attempt.tried):
            self._hooks.conclude()
        if conclusion is not None and self._is_ordered and isinstance(conclusion.outcome, Retry):
            self._batches.count(conclusion.outcome, conclusion)
            task.attempt.begin_anew()
            task.attempt.not_before = self._clock.monotonic() + conclusion.outcome.after
            conclusion = None
        self._suspects.end(is_cleared=conclusion is not None)
        if conclusion is None:
            self._lineup.again(task, task.attempt.not_before or 0.0)
            return
        self._lineup.end(task)
        for other in task.parted()[1:] if task.others else ():
            self._conclude_with(conclusion, other)
        self._batches.conclude(task, conclusion)

    def begin_later(self, task: InHand) -> None:
        """No attempt was made at a task that was taken: it is in the line-up again."""
        self.leave_rules(task)
        self._lineup.again(task, 0.0)

    def leave_rules(self, task: InHand) -> None:
        """What it took of limits, to be begun, is free."""
        if task.attempt.ended is None:
            self._rules.end(task, was_begun=False)

    def _conclude_with(self, conclusion: Conclusion, other: InHand) -> None:
        """A task that was to be finished with another, which has come to its end."""
        if other.begun is not None:
            self.leave_rules(other)
        if conclusion.outcome is DONE:
            self._lineup.end(other)
            self._batches.conclude(other, conclusion)
        else:
            self._lineup.again(other, 0.0)
