"""What a worker's loop is made of, put together from what the worker is. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from consumerd.model.task import Task
from consumerd.parking.thread import StoreThread
from consumerd.sources.contract import Revocable, Source
from consumerd.sources.decoding import limited
from consumerd.wire.destinations import BreakerPolicy
from consumerd.worker.attempts.attempt import Handler
from consumerd.worker.attempts.attempts import Attempts
from consumerd.worker.attempts.batch_maker import BatchMaker
from consumerd.worker.attempts.breaker import Breaker
from consumerd.worker.attempts.error_lists import by_error, failures_of
from consumerd.worker.attempts.handler import (
    Handlers,
    record_validator,
    retry_policy,
    validating,
)
from consumerd.worker.attempts.hooks import Fullness, Hooks
from consumerd.worker.attempts.interruption import MainThread, ThreadGuard, Threads
from consumerd.worker.attempts.judge import Judge
from consumerd.worker.attempts.maker import AttemptMaker
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.due import DueTasks
from consumerd.worker.tasks.fast import FastRunner
from consumerd.worker.tasks.gate import Gate
from consumerd.worker.tasks.handling import BatchHandling, Handling, Parts
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.tasks.runner import Records, SingleRunner
from consumerd.worker.tasks.settling import Settling
from consumerd.worker.tasks.suspects import Suspects
from consumerd.worker.window.adaptive_lanes import AdaptiveLanes
from consumerd.worker.window.batch_lane import BatchLane
from consumerd.worker.window.destinations import Destinations
from consumerd.worker.window.gathering import Batching
from consumerd.worker.window.handling import WindowHandling
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.keys import coalesce_key, destination_by, has_destinations, key_by
from consumerd.worker.window.lanes import EventLoopLanes, Lanes, ThreadLanes
from consumerd.worker.window.limits import limits_of
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.putting_off import PuttingOff


@dataclass(frozen=True)
class Assembly:
    """Of one worker.

    consumer: the user's instance, known by its hooks.
    is_settled: whether a task in hand is done by a transaction of its handler.
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
        common = self.context.common
        is_held_up = has_destinations(type(self.consumer), common) or bool(self.context.limits)
        is_plain = common.at_once.max == 1 and common.ordered is None and self.handlers.batch is None
        if is_plain and not is_held_up:
            return self._batch_handling(parts)
        lineup = Lineup[InHand]()
        return WindowHandling(
            self.context,
            parts,
            self._judge(self.consumer, parts.breaker),
            self._lanes(parts, is_held_up=is_held_up),
            lineup,
            key_of=None if common.ordered is None else key_by(self.consumer, self.hooks),
            rules=[
                *self._destinations(lineup, parts.breaker),
                *limits_of(self.consumer, self.context, self.hooks),
            ],
        )

    def _batch_handling(self, parts: Parts) -> BatchHandling:
        context, handlers = self.context, self.handlers
        coroutine = (lambda lane: handlers.coroutine()) if handlers.is_async else None
        context.interruptions.interrupter = MainThread([context.board.lane], handlers.codes(), coroutine)
        maker = self._maker(handlers.any_record)
        attempts = Attempts(context, maker, self._judge(self.consumer, parts.breaker), self.hooks, self.fullness)
        single = SingleRunner(attempts, parts.records)
        is_leased = isinstance(self.source, Revocable) and not self.source.traits.positional
        fast = FastRunner(context, handlers.task, maker, single, is_leased=is_leased)
        return BatchHandling(context, parts, fast, single)

    def _destinations(self, lineup: Lineup[InHand], breaker: Breaker) -> Iterator[Destinations]:
        """Asked before the limits: a task whose destination is down takes nothing of those.

        In order by key nobody is tried again who has died: the next of its key has run.
        """
        common, keys = self.context.common, self.context.common.breaker
        if not has_destinations(type(self.consumer), common):
            return
        yield Destinations(
            self.context,
            BreakerPolicy(keys.share, keys.least, keys.window),
            destination_by(self.consumer, self.hooks, common.destination),
            lineup,
            PuttingOff(self.context, self.source, lineup, retry_policy(self.consumer, common), common.at_once.max),
            breaker.condemned.extend if common.ordered is None else list,
            by_error=by_error(self.consumer, common),
            failures=failures_of(common),
        )

    def stand_in_attempts(
        self, consumer: Any, handlers: Handlers, hooks: Hooks, breaker: Breaker, wait: Callable[[float], object]
    ) -> Attempts:
        """By another instance of the user's class, in a thread that waits so."""
        return Attempts(
            self.context,
            AttemptMaker(self.context, handlers.any_record, hooks, self.fullness),
            self._judge(consumer, breaker),
            hooks,
            self.fullness,
            wait=wait,
            is_interrupted=self.context.deadline.has_begun,
        )

    def _lanes(self, parts: Parts, *, is_held_up: bool) -> Lanes:
        """is_held_up: nothing is given to them before it may begin."""
        if self.handlers.batch is not None:
            return self._batch_lane(self.handlers.batch, parts)
        board, at_once = self.context.board, self.context.common.at_once
        if at_once.min == at_once.max:
            return self._single_lanes(at_once.max, ahead=0 if is_held_up else at_once.max)
        lanes = self._single_lanes(at_once.max, ahead=0)
        return AdaptiveLanes(lanes, at_once.min, parts.share, board, self.context.clock)

    def _single_lanes(self, width: int, *, ahead: int) -> Lanes:
        """For one task each. ahead: how many more they are given, where they are threads."""
        interrupts = self.context.interrupts
        lanes = self.context.board.lanes(width)
        interruptions, codes = self.context.interruptions, self.handlers.codes()
        if not self.handlers.is_async:
            threads = ThreadLanes(self._guarded_maker, interrupts, lanes, codes, ahead=ahead)
            interruptions.interrupter = Threads(threads.guards)
            return threads
        maker = self._maker(self.handlers.any_record_awaited)
        coroutines = EventLoopLanes(maker, interrupts, lanes, self.handlers.event_loop)
        interruptions.interrupter = MainThread(lanes, codes, coroutines.coroutines.get)
        return coroutines

    def _guarded_maker(self, guard: ThreadGuard) -> AttemptMaker:
        return self._maker(partial(guard.call, self.handlers.any_record))

    def _batch_lane(self, handle: Handler, parts: Parts) -> Lanes:
        common, source = self.context.common, self.source
        batching, coalesce = Batching(common.batch_size, common.batch_linger), common.coalesce
        if coalesce is not None:
            batching = replace(batching, keep=coalesce.keep, quiet_s=coalesce.quiet, max_wait_s=coalesce.max_wait)
        return BatchLane(
            self.context,
            BatchMaker(self.context, self._maker(self.handlers.any_record), handle, parts.records.decoder),
            batching,
            None if coalesce is None else coalesce_key(self.consumer, self.hooks, coalesce.by),
            is_full=lambda: source.unsettled() >= common.max_unsettled,
        )

    def _maker(self, handle: Callable[..., object]) -> AttemptMaker:
        return AttemptMaker(self.context, handle, self.hooks, self.fullness)

    def _judge(self, consumer: Any, breaker: Breaker) -> Judge:  # the user's class
        return Judge(
            self.context,
            retry_policy(consumer, self.context.common),
            breaker,
            self.is_settled,
            retries_elsewhere=self.source.traits.gives_away,
        )
