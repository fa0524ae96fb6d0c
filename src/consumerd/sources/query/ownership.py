"""Which buckets this worker owns, of those that all workers of the consumer divide. Runs in workers and the foreground.

What each has stands in the parking store, one value for a consumer (`model.division`), which one worker at a time
changes. What a worker is to give up it takes no row of any more; once no such row is in hand, others may have it.

Where hosts share the store, a share is held under a lease: a worker that cannot renew it starts nothing after 0.8 of
it, and what it settles after its end is dropped. Where the store is this host's alone, the lock of a slot says whether
its worker lives, and nothing runs out: workers keep what they have while the store is away.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from threading import Lock

from consumerd import events
from consumerd.errors import StoreAwayError
from consumerd.model import division
from consumerd.model.division import Division, Member, Ranges
from consumerd.model.shards import Shard
from consumerd.model.task import TaskId
from consumerd.sources.abilities import RENEWED_AFTER, TRUSTED_FOR
from consumerd.sources.contract import SourceContext

LEASE_S = 30.0
RENEWED_AFTER_S = RENEWED_AFTER * LEASE_S
LACKS_LOOK_S = 1.0
"""A worker that has less than its part looks so often; one that is called looks at once."""

STANDS_BY_AFTER_S = 5.0


class Ownership:
    """Of one worker. The loop's thread calls all but `keep`, which is the keeper's.

    shard: what the worker owns; until it knows, nothing.
    losses: how often its share was lost, and became others'.
    """

    def __init__(self, context: SourceContext) -> None:
        given = context.shard
        self._context = context
        self._is_alone = context.member is None
        self._is_leased = context.parked.is_shared and not self._is_alone
        fixed, count = ((), 0) if given.moves else (given.ranges, given.number[1])
        self._member = Member(context.member or "", context.lease_owner, fixed, count)
        self._host = self._member.name.rpartition(".")[0]
        self._lock = Lock()
        self._next_at = 0.0
        self._leased_at = math.inf if self._is_alone else -math.inf
        self._without_since = context.clock.monotonic()
        self._has_reached = self._did_lack = self._stands_by = False
        self.losses = 0
        self._leaving: set[TaskId] = set()
        self.shard = given
        self._own(given.ranges if self._is_alone else ())

    # The loop

    def look_now(self) -> None:
        """Look with the next `look`: others have given something up, or want something."""
        self._next_at = 0.0

    def look(self, *, may_move: bool, in_hand: Collection[TaskId]) -> bool:
        """Renew, where it is time; take and give up, where that may be. Whether what is owned has changed.

        Renewing puts off no move: under load the keeper is always the first, and others would get nothing.

        may_move: no row was read that would have to be handled here. in_hand: those that are handled now.
        """
        now = self._context.clock.monotonic()
        has_drained = bool(self._leaving) and self._has_drained(in_hand)
        if self._is_alone or (now < self._next_at and not has_drained):
            return False
        before = (self.shard.ranges, self.losses)
        try:
            with self._lock:
                if may_move:
                    self._move(now, in_hand)
                elif self._lease_age_s > RENEWED_AFTER_S:
                    self._renew(now)
        except StoreAwayError as error:
            self._next_at = now + LACKS_LOOK_S
            self._context.worker.note_store(error)
            if not self._has_reached and self._context.shard.number[1] == 1:
                self._own(Shard().ranges)  # the only one, as far as it knows
        return before != (self.shard.ranges, self.losses)

    @property
    def holds(self) -> bool:
        """Whether rows may be read, and begun."""
        return bool(self.shard.ranges) and self.keeps

    @property
    def keeps(self) -> bool:
        """Whether another row may be begun."""
        return self._lease_age_s < TRUSTED_FOR * LEASE_S

    def settles(self, losses: int) -> bool:
        """Whether rows that were taken after so many losses are this worker's still."""
        return losses == self.losses and self._lease_age_s < LEASE_S

    def leave(self) -> None:
        """Give up all of it at once, unless another process takes this one's place."""
        if self._is_alone or self._context.worker.is_replaced():
            return
        try:
            self._context.parked.divide(lambda before, now: division.left(before, self._member))
        except StoreAwayError:
            return  # its lease runs out, or its slot's lock is seen to be free
        self._context.emit(events.ranges_moved(owned=0))

    # The keeper

    def keep(self) -> None:
        """Renew while the loop is busy; make it look up where that is too late."""
        if not self._is_leased or not self.shard.ranges or not self._has_reached:
            return
        if not self.keeps:
            self._context.worker.interrupt()
        if self._lease_age_s > RENEWED_AFTER_S:
            with self._lock:
                self._renew(self._context.clock.monotonic())

    # Within

    @property
    def _lease_age_s(self) -> float:
        return self._context.clock.monotonic() - self._leased_at if self._is_leased and self._has_reached else 0.0

    def _renew(self, now: float) -> None:
        member = self._member
        after = self._context.parked.divide(lambda before, at: division.renewed(before, member, at + LEASE_S))
        is_ours = member.name in after and after[member.name].token == member.token
        self._leased_at = now if is_ours else -math.inf
        if not is_ours:
            self._next_at = 0.0

    def _has_drained(self, in_hand: Collection[TaskId]) -> bool:
        """Whether no row is in hand any more that may be of what is given up."""
        divides_itself = self._context.worker.user_reads_shard()
        owns = self.shard.owns
        self._leaving = {each for each in self._leaving if each in in_hand and (divides_itself or not owns(each))}
        return not self._leaving

    def _move(self, now: float, in_hand: Collection[TaskId]) -> None:
        """Take what is free, and give up what is too much: first here, then in the store, for all to see."""
        member, parked = self._member, self._context.parked
        had: list[Division] = []

        def take(before: Division, at: float) -> Division:
            had[:] = [before]
            until = at + LEASE_S if self._is_leased else 0.0
            return division.divided(before, member, until, self._gone(before, at))

        after = parked.divide(take)
        mine = had[0].get(member.name)
        is_lost = self._has_reached and (mine is None or mine.token != member.token)
        self.losses += is_lost and bool(self.shard.ranges)
        self._has_reached, self._leased_at = True, now
        kept = division.fair_part(after, member)
        is_surplus = kept != after[member.name].ranges
        if kept != self.shard.ranges:
            self._leaving = set(in_hand) if is_surplus else set()
            self._own(kept)
        is_given = is_surplus and self._has_drained(in_hand)
        if is_given:
            after = parked.divide(lambda before, at: division.reduced(before, member, kept))
        lacks = division.lacks(after, member)
        if is_given or (lacks and not self._did_lack):
            self._context.emit(events.ranges_moved(owned=sum(map(len, kept))))
        self._did_lack = lacks
        self._next_at = now + (LACKS_LOOK_S if lacks else RENEWED_AFTER_S)
        self._tell(now)

    def _gone(self, before: Division, at: float) -> list[str]:
        if self._is_leased:
            return [name for name, share in before.items() if share.until <= at]
        others = before.keys() - {self._member.name}
        return [
            name
            for name in others
            if name.rpartition(".")[0] != self._host or not self._context.parked.is_slot_held(name)
        ]

    def _own(self, ranges: Ranges) -> None:
        self.shard = self._context.worker.shard = replace(self.shard, ranges=ranges)

    def _tell(self, now: float) -> None:
        """A worker that has nothing for long stands by: another host has what it could take."""
        if self.shard.ranges:
            self._without_since = now
        stands_by = now - self._without_since >= STANDS_BY_AFTER_S
        if stands_by and not self._stands_by:
            error = "other workers have its rows, and it takes over when one of them leaves or falls silent"
            self._context.emit(events.standing_by(error=error))
        elif self._stands_by and not stands_by:
            self._context.emit(events.took_over())
        self._stands_by = stands_by
