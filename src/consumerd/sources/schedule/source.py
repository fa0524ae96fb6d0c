"""The source of a schedule's runs, one at a time for each worker. Runs in workers and the foreground.

The loop looks when a run is due, and claims one. While it has none to give, since it handles one or is paused, the
keeper looks: a time that comes meanwhile is noted, and is not missed. A source that is in the store has nothing of its
own to open, to lose, or to be away.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from consumerd import events
from consumerd.clock import iso
from consumerd.database.claims import Lease
from consumerd.errors import StoreAwayError
from consumerd.model.outcome import Done, Retry
from consumerd.parking import ticks
from consumerd.parking.ticks import Look, Schedule
from consumerd.sources.abilities import RENEWED_AFTER, TRUSTED_FOR
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.schedule import TRAITS, held
from consumerd.sources.schedule.options import ScheduleOptions
from consumerd.sources.schedule.standing import Standing, lag_of, standing, status_of
from consumerd.sources.schedule.tick import TickBatch, shown_number, tick_of, with_cursor
from consumerd.wire.schedules import ScheduleStatus

POLL_S = 5.0
"""So often the workers of a pool look together, though nothing is due: somebody else may have made a run."""
SHORTEST_S = 0.005
BUSY_S = 0.5
"""After so long the keeper looks in the loop's place."""
TOLD_EVERY_S = 2.0

ResultT = TypeVar("ResultT")

Outcome = Callable[[Connection], bool]
"""Writes what became of a tick; whether it was still ours."""


class ScheduleSource:
    """Makes, claims, renews and settles ticks. The loop's thread, but for `tick`, `lag` and `schedule`."""

    traits = TRAITS
    has_answered = True

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._zone: tzinfo = UTC
        self._hand: TickBatch | None = None
        self._outcome: Outcome | None = None
        self._is_doubtful, self._is_away = True, False
        self._look_at = self._make_at = self._told_at = 0.0
        self._told: ScheduleStatus | None = None

    # The loop's thread

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._options = cast("ScheduleOptions", context.options)
        self._zone = self._options.zone
        self._schedule = Schedule(context.name, self._options.edition, self._options.judge, self._options.overlap)
        self._own_tokens = f"{context.lease_owner}/" if context.member is None else f"{context.member}#"

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        clock = self._context.clock
        deadline = clock.monotonic() + timeout_s
        self._settle_now()
        while limit > 0 and self._hand is None:
            if clock.monotonic() >= self._look_at and (batch := self._claim()) is not None:
                return batch
            left_s = deadline - clock.monotonic()
            if left_s <= 0 or not self._has_waited(min(self._look_at, deadline)):
                return None
        self._context.worker.wait(timeout_s)
        return None

    def due_between(self, batch: Batch) -> tuple[float, float]:
        scheduled_at = cast("TickBatch", batch).claimed.scheduled_at
        return scheduled_at, scheduled_at

    def look_now(self) -> None:
        self._look_at = 0.0

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        for settlement in settlements:
            self._outcome = self._outcome_of(settlement)
        try:
            self._settle_now()
        except StoreAwayError as error:
            if is_due:
                self._context.emit(events.settling_failed(error=str(error), unsettled=self.unsettled()))

    def unsettled(self) -> int:
        return 0 if self._hand is None else 1

    def decode(self, payload: bytes) -> object:
        return tick_of(payload, self._zone)

    def keeps(self, batch: Batch) -> bool:
        hand = cast("TickBatch", batch)
        if self._context.clock.monotonic() - hand.leased_at >= self._options.lease * TRUSTED_FOR:
            hand.is_lost = True
        return not hand.is_lost

    def settles(self, batch: Batch) -> bool:
        return not cast("TickBatch", batch).is_lost

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        """Free the run, where nobody has claimed it: it begins anew, from its last checkpoint."""
        self.release(batch, range(start, stop))

    def checkpoint(self, cursor: object, done: float | None, total: float | None) -> bool:
        hand = self._hand
        if hand is None:
            return True
        hand.record = with_cursor(hand.record, cursor)
        far, whole = shown_number(done), shown_number(total)
        try:
            if not self._run(partial(held.note, tick=hand.claimed, record=hand.record, done=far, total=whole)):
                hand.is_lost = True
            self._note_store(None)
        except StoreAwayError as error:  # it is written with the next one, or with what becomes of the run
            self._note_store(error)
        self._told_at = 0.0
        if not self.keeps(hand):
            self._context.worker.interrupt()
        return not hand.is_lost

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        hand = cast("TickBatch", batch)
        if not_begun:
            self._outcome = partial(held.free, tick=hand.claimed, record=hand.record)
        self.settle((), is_due=True)

    def close(self, deadline: float) -> None:
        del deadline
        try:
            self._settle_now()
            self._run(partial(ticks.release, owner_prefix=self._own_tokens))
        except StoreAwayError as error:
            self._context.emit(events.release_failed(error=str(error), then="the lease runs out"))

    # The keeper's thread

    def tick(self) -> None:
        """Renew the claim once a third of the lease is over, and make what is due while the loop does not look."""
        now, hand = self._context.clock.monotonic(), self._hand
        if hand is not None and now - hand.leased_at >= self._options.lease * RENEWED_AFTER:
            if self._run(partial(held.renew, tick=hand.claimed, seconds=self._options.lease)):
                hand.leased_at = now
            elif hand is self._hand and self._outcome is None:
                hand.is_lost = True
            if not self.keeps(hand):
                self._context.worker.interrupt()
        if now >= self._make_at + BUSY_S:
            self._make_at = now + POLL_S
            self._note(self._run(partial(ticks.look, schedule=self._schedule, lease=None)))

    def lag(self) -> tuple[ShardLag, ...]:
        return (lag_of(self._standing(), self._options),)

    def schedule(self) -> ScheduleStatus | None:
        now = self._context.clock.monotonic()
        if now < self._told_at + TOLD_EVERY_S:
            return None
        self._told_at = now
        told, self._told = self._told, status_of(self._standing(), self._options)
        return None if told == self._told else self._told

    # Steps

    def _claim(self) -> TickBatch | None:
        """Make what is due, and claim a run. One that is claimed when nobody waits for it any more is given back."""
        clock = self._context.clock
        if self._is_doubtful:
            self._run(partial(ticks.release, owner_prefix=self._own_tokens))
        self._is_doubtful = True
        lease = Lease(f"{self._context.lease_owner}/{next(self._numbers)}", self._options.lease)
        leased_at = clock.monotonic()
        found = self._context.parked.run(partial(ticks.look, schedule=self._schedule, lease=lease), _give_back)
        self._is_doubtful = False
        self._note_store(None)
        self._note(found)
        self._look_at = clock.monotonic() + min(max(found.wait_s, SHORTEST_S), POLL_S * self._context.shard.count)
        if found.tick is None:
            return None
        self._hand, self._look_at = TickBatch(found.tick, self._zone, leased_at), 0.0
        return self._hand

    def _note(self, found: Look) -> None:
        """Remember when the schedule comes next, and tell what does not run."""
        self._make_at = self._context.clock.monotonic() + min(found.make_s, POLL_S * self._context.shard.count)
        if found.missed:
            self._context.emit(events.ticks_missed(**_told(found.missed), missed=self._options.missed))
        if found.skipped:
            self._context.emit(events.ticks_skipped(**_told(found.skipped)))
        if found.is_anew:
            self._context.emit(events.schedule_begun_anew(times=self._options.edition))

    def _note_store(self, away: StoreAwayError | None) -> None:
        """Have the worker say that the store is away, or is back."""
        if away is not None or self._is_away:
            self._is_away = away is not None
            self._context.worker.note_store(away)

    def _outcome_of(self, settlement: Settlement) -> Outcome:
        hand = cast("TickBatch", settlement.batch)
        match settlement.outcome:
            case Retry(after=after):
                task = settlement.task or hand.task(0)
                age_s = 0.0 if task.first_at is None else self._context.clock.wall() - task.first_at
                deferred = partial(held.defer, tick=hand.claimed, record=hand.record)
                return partial(deferred, after_s=after, attempts=task.attempts, age_s=age_s)
            case outcome:
                hand.is_done = isinstance(outcome, Done)
                return partial(held.finish, tick=hand.claimed, record=hand.record, is_dead=not hand.is_done)

    def _settle_now(self) -> None:
        """Write what became of the tick; where that fails it is written with the next call."""
        if self._outcome is None:
            return
        hand, was_doubtful, self._is_doubtful = self._hand, self._is_doubtful, True
        if not self._run(self._outcome) and not was_doubtful:
            then = "another worker has it by now, or has done it"
            self._context.emit(events.lease_lost(tasks=1, then=then))
        elif hand is not None and hand.is_done:
            took_s = round(self._context.clock.monotonic() - hand.begun_at, 3)
            self._context.emit(events.run_done(scheduled=iso(hand.claimed.scheduled_at), took_s=took_s))
        self._is_doubtful = False
        self._hand = self._outcome = None
        self._told_at = 0.0

    def _has_waited(self, until: float) -> bool:
        """Wait; false where an interrupt comes, which the loop is to see."""
        clock = self._context.clock
        self._context.worker.wait(max(0.0, until - clock.monotonic()))
        return clock.monotonic() >= until

    def _standing(self) -> Standing:
        return self._run(partial(standing, consumer=self._context.name))

    def _run(self, step: Callable[[Connection], ResultT]) -> ResultT:
        return self._context.parked.run(step)


def _give_back(connection: Connection, found: Look) -> None:
    if found.tick is not None:
        held.free(connection, found.tick, found.tick.record)


def _told(times: Sequence[float]) -> dict[str, Any]:  # fields of an event
    return {"ticks": len(times), "first": iso(times[0]), "last": iso(times[-1])}
