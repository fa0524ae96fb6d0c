"""The hooks that consumerd itself calls. Runs in workers and the foreground.

A hook that raises is reported, and costs neither the worker nor a task: only what `pre_handle_task` raises is a failed
attempt, and what `pre_consume` raises ends the worker.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any, TypeVar

from consumerd import events
from consumerd.config.shape import ConsumerSettings
from consumerd.events.facts import Fact
from consumerd.model.contract import HOOKS_A_TASK, is_overridden, live_keys
from consumerd.model.failure import describe, drop_tracebacks
from consumerd.worker.attempts.forked_child import leave_if_child
from consumerd.worker.code.loader import load_consumer
from consumerd.worker.tasks.context import Link, WorkerContext
from consumerd.worker.tasks.interrupts import Interrupt

ResultT = TypeVar("ResultT")

REPORT_AGAIN_S = 60.0
"""A hook that raises after each task is reported at first, and then so often, with how many times it has raised."""


class Hooks:
    """Of one consumer; `consumer` is the user's instance, known by them alone.

    surround: whether it has hooks before or after each task.
    come_between: whether any runs between tasks, so that the fast loop would pass it by; or the offsets are its own.
    """

    def __init__(
        self,
        context: WorkerContext,
        consumer: Any,  # the user's class
        link: Link,
        fullness: Fullness,
    ) -> None:
        self.pre_handle_task: Callable[[], None] = consumer.pre_handle_task
        self._consumer = consumer
        self._entries = link.entries
        self._emit = context.emit
        self._redact = context.redact
        self._clock = context.clock
        self._fullness = fullness
        self.come_between = any(is_overridden(type(consumer), hook) for hook in (*HOOKS_A_TASK, "iterate_task"))
        self.surround = any(is_overridden(type(consumer), f"{when}_handle_task") for when in ("pre", "post"))
        self.conclude = fullness.conclude
        self._next_reload = 0.0
        self._untold: dict[str, int] = {}
        self._told_at: dict[str, float] = {}

    def reload_when_due(self) -> None:
        """Call `reload_config`, at first and then every `reload_interval` seconds."""
        now = self._clock.monotonic()
        if now >= self._next_reload:
            self._next_reload = now + float(self._consumer.reload_interval)
            self._reload()

    def _reload(self) -> None:
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

    def once(self, fact: Fact) -> Callable[[], None]:
        """What tells of this when it is called first."""
        untold = [fact]

        def tell() -> None:
            if untold:
                self._emit(untold.pop())

        return tell

    def amend(self) -> None:
        """Give the consumer what has come for its live keys, and call its hook. The zygote has read the same entry
        before, in the same environment, and found nothing wrong with it.
        """
        entry = self._entries.take()
        if entry is None:
            return
        loaded = load_consumer(ConsumerSettings.model_validate_json(entry), os.environ)
        self._redact.add(loaded.redactor.redact)
        config = self._consumer.config
        for key in live_keys(type(self._consumer)):
            config.pop(key, None)
            if key in loaded.configs:
                config[key] = loaded.configs[key]
        self._reload()

    def count(self, tasks: int) -> None:
        """Keep the post's `number_of_consumed`."""
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


class Fullness:
    """Whether a worker has reached its limit. It is replaced then: what has filled it is in its memory."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._is_full = False

    def note(self, ended: object) -> None:
        """How an attempt ended. For want of memory: there is more at once, for what is still to be done."""
        if isinstance(ended, MemoryError):
            self._is_full = True
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def conclude(self) -> None:
        """A task is concluded. Only now the worker leaves: one that is to leave makes no further attempt."""
        limit = self._context.common.memory_limit
        if self._is_full and limit is not None and self._context.member is not None:
            self._context.emit(events.worker_full(memory_limit_bytes=limit))
            self._context.ask_for_replacement(Interrupt.OUT_OF_MEMORY)
