"""The hooks that consumerd itself calls. Runs in workers and the foreground.

A hook that raises is reported, and costs neither the worker nor a task: only what `pre_handle_task` raises is a failed
attempt, and what `pre_consume` raises ends the worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from consumerd import events
from consumerd.clock import Clock
from consumerd.events.facts import Fact
from consumerd.model.contract import live_keys
from consumerd.model.failure import describe, drop_tracebacks
from consumerd.worker.tasks.amendments import Amendments
from consumerd.worker.tasks.forked_child import leave_if_child
from consumerd.worker.tasks.memory_limit import Fullness

ResultT = TypeVar("ResultT")

REPORT_AGAIN_S = 60.0
"""A hook that raises after each task is reported at first, and then so often, with how many times it has raised."""


class Hooks:
    """Of one consumer; `consumer` is the user's instance, known by them alone."""

    def __init__(
        self,
        consumer: Any,  # the user's class
        amendments: Amendments,
        *,
        emit: Callable[[Fact], None],
        redact: Callable[[str], str],
        clock: Clock,
        fullness: Fullness,
    ) -> None:
        self.pre_handle_task: Callable[[], None] = consumer.pre_handle_task
        self._consumer = consumer
        self._amendments = amendments
        self._emit = emit
        self._redact = redact
        self._clock = clock
        self._fullness = fullness
        self._untold: dict[str, int] = {}
        self._told_at: dict[str, float] = {}

    def reload_config(self) -> None:
        self.call("reload_config", self._consumer.reload_config, None)

    def can_stop_consume(self) -> bool:
        """What the hook answers; False where it raises."""
        return bool(self.call("can_stop_consume", self._consumer.can_stop_consume, False))

    def post_handle_task(self) -> None:
        self.call("post_handle_task", self._consumer.post_handle_task, None)

    def call(self, name: str, hook: Callable[[], ResultT], otherwise: ResultT) -> ResultT:
        """What the hook returns; where it raises, `otherwise`, and the error is reported."""
        try:
            return hook()
        except BaseException as error:  # noqa: BLE001 - the user's hook, SystemExit included
            leave_if_child(error)
            self._fullness.note(error)
            self._report(name, error)
            drop_tracebacks(error)
        self._fullness.conclude()
        return otherwise

    def amend(self) -> None:
        """Give the consumer what has come for its live keys, and call its hook."""
        live = live_keys(type(self._consumer))
        if self._amendments.apply(self._consumer.config, live):
            self.reload_config()

    def count(self, tasks: int) -> None:
        """Keep the seed's `number_of_consumed`."""
        self._consumer.number_of_consumed += tasks

    def _report(self, name: str, error: BaseException) -> None:
        now, times = self._clock.monotonic(), self._untold.get(name, 0) + 1
        if name in self._told_at and now < self._told_at[name] + REPORT_AGAIN_S:
            self._untold[name] = times
            return
        self._told_at[name], self._untold[name] = now, 0
        failure = describe(error, self._redact)
        fact = events.hook_failed(hook=name, error=failure.error, times=times, traceback=failure.traceback)
        self._emit(fact)
