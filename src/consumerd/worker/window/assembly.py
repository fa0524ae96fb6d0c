"""What a window is made of, put together from what the worker is. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from consumerd.wire.destinations import BreakerPolicy
from consumerd.worker.attempts.attempt import Handler
from consumerd.worker.attempts.batch_maker import BatchMaker
from consumerd.worker.attempts.error_lists import by_error, failures_of
from consumerd.worker.attempts.handler import Handlers, retry_policy
from consumerd.worker.attempts.interruption import MainThread, ThreadGuard, Threads
from consumerd.worker.attempts.judge import Judge
from consumerd.worker.attempts.maker import AttemptMaker
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.handling import Parts
from consumerd.worker.window.adaptive_lanes import AdaptiveLanes
from consumerd.worker.window.batch_lane import BatchLane
from consumerd.worker.window.destinations import Destinations
from consumerd.worker.window.gathering import Batching
from consumerd.worker.window.handling import WindowHandling
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.keys import coalesce_key, destination_by, has_destinations, key_by, order_by
from consumerd.worker.window.lanes import EventLoopLanes, Lanes, ThreadLanes
from consumerd.worker.window.limits import limits_of
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.putting_off import PuttingOff
from consumerd.worker.window.retry_lanes import RetryLanes
from consumerd.worker.window.rules import Rules


@dataclass(frozen=True)
class WindowAssembly:
    """Of one worker.

    consumer: the user's instance, known by its hooks.
    make: what makes attempts by this handler.
    tracer: traces tasks; None where nothing does.
    """

    context: WorkerContext
    consumer: Any  # the user's class
    handlers: Handlers
    parts: Parts
    make: Callable[[Callable[..., object]], AttemptMaker]
    tracer: Tracer | None

    def handling(self, judge: Judge) -> WindowHandling:
        """With its lanes, its order and its rules."""
        lineup, hooks = Lineup[InHand](), self.parts.hooks
        retries = RetryLanes(self.parts.share, lineup, self.context.clock)
        limits = limits_of(self.consumer, self.context, hooks)
        rules = Rules(lineup, self._destinations(lineup), limits, retries)
        return WindowHandling(
            self.context,
            self.parts,
            judge,
            self._lanes(ahead=0 if rules.hold_fresh else self.context.common.at_once.max),
            lineup,
            key_of=None if self.context.common.ordered is None else key_by(self.consumer, hooks),
            rules=rules,
        )

    def _destinations(self, lineup: Lineup[InHand]) -> Destinations | None:
        """In order by key nobody is tried again who has died: the next of its key has run."""
        common, keys = self.context.common, self.context.common.breaker
        if not has_destinations(type(self.consumer), common):
            return None
        policy = retry_policy(self.consumer, common)
        return Destinations(
            self.context,
            BreakerPolicy(keys.share, keys.least, keys.window, keys.max_quiet),
            destination_by(self.consumer, self.parts.hooks, common.destination),
            lineup,
            PuttingOff(self.context, self.parts.source, lineup, policy, common.at_once.max),
            self.parts.breaker.condemned.extend if common.ordered is None else list,
            by_error=by_error(self.consumer, common),
            failures=failures_of(common),
        )

    def _lanes(self, *, ahead: int) -> Lanes:
        """ahead: how many tasks they may be given before those can begin."""
        if self.handlers.batch is not None:
            return self._batch_lane(self.handlers.batch)
        board, at_once = self.context.board, self.context.common.at_once
        if at_once.min == at_once.max:
            return self._single_lanes(at_once.max, ahead=ahead)
        lanes = self._single_lanes(at_once.max, ahead=0)
        return AdaptiveLanes(lanes, at_once.min, self.parts.share, board, self.context.clock)

    def _single_lanes(self, width: int, *, ahead: int) -> Lanes:
        """For one task each."""
        interrupts = self.context.interrupts
        lanes = self.context.board.lanes(width)
        interruptions, codes = self.context.interruptions, self.handlers.codes()
        if not self.handlers.is_async:
            threads = ThreadLanes(self._guarded_maker, interrupts, lanes, codes, ahead=ahead)
            interruptions.interrupter = Threads(threads.guards)
            return threads
        maker = self.make(self.handlers.any_record_awaited)
        coroutines = EventLoopLanes(maker, interrupts, lanes, self.handlers.event_loop, ahead=ahead)
        interruptions.interrupter = MainThread(lanes, codes, coroutines.coroutines.get)
        return coroutines

    def _guarded_maker(self, guard: ThreadGuard) -> AttemptMaker:
        return self.make(partial(guard.call, self.handlers.any_record))

    def _batch_lane(self, handle: Handler) -> Lanes:
        common, source = self.context.common, self.parts.source
        batching, coalesce = Batching(common.batch_size, common.batch_linger), common.coalesce
        if coalesce is not None:
            batching = replace(batching, keep=coalesce.keep, quiet_s=coalesce.quiet, max_wait_s=coalesce.max_wait)
        if coalesce is not None and coalesce.order_by is not None:
            order_of = order_by(coalesce.order_by, self.parts.hooks)
            batching = replace(batching, order_of=lambda task: order_of(task.record))
        return BatchLane(
            self.context,
            BatchMaker(
                self.context, self.make(self.handlers.any_record), handle, self.parts.records.decoder, self.tracer
            ),
            batching,
            None if coalesce is None else coalesce_key(self.consumer, self.parts.hooks, coalesce.by),
            is_full=lambda: source.unsettled() >= common.max_unsettled,
        )
