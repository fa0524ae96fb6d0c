"""What a worker's loop is made of, put together from what the worker is. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from consumerd.model.task import Task
from consumerd.parking.thread import StoreThread
from consumerd.sources.contract import Revocable, Source
from consumerd.sources.decoding import limited
from consumerd.worker.attempts.attempts import Attempts
from consumerd.worker.attempts.breaker import Breaker
from consumerd.worker.attempts.handler import Handlers, record_validator, retry_policy, validating
from consumerd.worker.attempts.hooks import Fullness, Hooks
from consumerd.worker.attempts.interruption import MainThread
from consumerd.worker.attempts.judge import Judge
from consumerd.worker.attempts.maker import AttemptMaker
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.due import DueTasks
from consumerd.worker.tasks.fast import FastRunner
from consumerd.worker.tasks.gate import Gate
from consumerd.worker.tasks.handling import BatchHandling, Handling, Parts
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.tasks.runner import Records, SingleRunner
from consumerd.worker.tasks.settling import Settling
from consumerd.worker.tasks.suspects import Suspects
from consumerd.worker.window.assembly import WindowAssembly
from consumerd.worker.window.keys import has_destinations


@dataclass(frozen=True)
class Assembly:
    """Of one worker.

    consumer: the user's instance, known by its hooks.
    is_settled: whether a task in hand is done by a transaction of its handler.
    tracer: traces tasks; None where nothing does.
    """

    context: WorkerContext
    consumer: Any  # the user's class
    source: Source
    store: StoreThread
    hooks: Hooks
    handlers: Handlers
    suspects: Suspects
    fullness: Fullness
    is_settled: Callable[[Task], bool]
    tracer: Tracer | None

    def parts(self) -> Parts:
        """Each knows the context and those that were made before it."""
        context, source = self.context, self.source
        consumer_class: type = type(self.consumer)
        validate = record_validator(consumer_class)
        decode = validating(limited(source.decode, context.common.payload_limit), validate)
        breaker = Breaker(context, is_kept=source.traits.gives_away)
        settling = Settling(context, source, self.store, self.suspects.clear)
        share = RetryShare(context.common.retry_share, context.common.at_once.max, context.clock)
        due = DueTasks(context, self.store, settling, self.suspects, breaker, source=source, decode=decode)
        return Parts(
            source=source,
            hooks=self.hooks,
            records=Records(source, validate),
            settling=settling,
            due=due,
            suspects=self.suspects,
            breaker=breaker,
            share=share,
            gate=Gate(context, source, settling, breaker),
        )

    def handling(self, parts: Parts) -> Handling:
        """One task at a time, or several at once or in batches, as the keys and the class say."""
        context, common = self.context, self.context.common
        is_plain = common.at_once.max == 1 and common.ordered is None and self.handlers.batch is None
        if is_plain and not (context.limits or has_destinations(type(self.consumer), common)):
            return self._batch_handling(parts)
        window = WindowAssembly(context, self.consumer, self.handlers, parts, self._maker, self.tracer)
        return window.handling(self._judge(self.consumer, parts.breaker))

    def _batch_handling(self, parts: Parts) -> BatchHandling:
        context, handlers = self.context, self.handlers
        coroutine = (lambda lane: handlers.coroutine()) if handlers.is_async else None
        context.interruptions.interrupter = MainThread([context.board.lane], handlers.codes(), coroutine)
        maker = self._maker(handlers.any_record)
        attempts = Attempts(context, maker, self._judge(self.consumer, parts.breaker), self.hooks, self.fullness)
        single = SingleRunner(attempts, parts.records)
        is_leased = isinstance(self.source, Revocable) and not self.source.traits.positional
        fast = FastRunner(context, handlers.task, maker, single, is_leased=is_leased)
        return BatchHandling(context, parts, fast, single, self.tracer)

    def stand_in_attempts(
        self, consumer: Any, handlers: Handlers, hooks: Hooks, breaker: Breaker, wait: Callable[[float], object]
    ) -> Attempts:
        """By another instance of the user's class, in a thread that waits so."""
        return Attempts(
            self.context,
            AttemptMaker(self.context, handlers.any_record, hooks, self.fullness, self.tracer),
            self._judge(consumer, breaker),
            hooks,
            self.fullness,
            wait=wait,
            is_interrupted=self.context.deadline.has_begun,
        )

    def _maker(self, handle: Callable[..., object]) -> AttemptMaker:
        return AttemptMaker(self.context, handle, self.hooks, self.fullness, self.tracer)

    def _judge(self, consumer: Any, breaker: Breaker) -> Judge:  # the user's class
        return Judge(
            self.context,
            retry_policy(consumer, self.context.common),
            breaker,
            self.is_settled,
            retries_elsewhere=self.source.traits.gives_away,
        )
