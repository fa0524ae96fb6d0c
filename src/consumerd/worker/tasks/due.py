"""Parked tasks that are due again: claimed from the parking store, and finished or parked anew. Runs in workers.

Any worker of the consumer takes them. It looks once a second while it knows of waiting tasks, every fifteen seconds
otherwise, and at once when the master wakes it (an operator's retry).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from consumerd import events
from consumerd.database.claims import Lease
from consumerd.errors import SourceAwayError, StoreAwayError, UnstorableError
from consumerd.model.outcome import Done, Retry
from consumerd.model.parked import ParkedTask
from consumerd.parking.thread import StoreThread
from consumerd.sources.abilities import KeepsRows
from consumerd.sources.contract import Source
from consumerd.worker.attempts.attempt import Attempt, Conclusion, Unfinished
from consumerd.worker.attempts.breaker import Breaker
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.parked_rows import as_dead, parked_fact, parked_task, unparked
from consumerd.worker.tasks.recording import ended_task
from consumerd.worker.tasks.settling import Settling
from consumerd.worker.tasks.suspects import Suspects

FIRST_LOOK_S = 0.5
"""A worker that has just started has its source's tasks to begin with."""

LOOK_WHILE_WAITING_S = 1.0
LOOK_OTHERWISE_S = 15.0
COUNT_AGAIN_S = 10.0
LEASE_S = 30.0


class DueTasks:
    """The due tasks of one consumer, as one worker takes them. The loop's thread calls it; the keeper calls `renew`.

    has_waiting: whether a task of the consumer waits to be tried again, as of the last look.
    """

    def __init__(
        self,
        context: WorkerContext,
        store: StoreThread,
        settling: Settling,
        suspects: Suspects,
        breaker: Breaker,
        *,
        source: Source,
        decode: Callable[[bytes], object],
    ) -> None:
        """With the first look, what this slot's earlier processes had claimed is given back; the slot's lock says that
        they are gone.
        """
        self._consumer = context.name
        self._store = store
        self._settling = settling
        self._outage = settling.outage
        self._rows = source if isinstance(source, KeepsRows) else None
        self._is_the_sources = source.traits.gives_again
        self._suspects = suspects
        self._breaker = breaker
        self._lease = Lease(context.lease_owner, LEASE_S)
        self._decode = decode
        self._board = context.board
        self._emit = context.emit
        self._clock = context.clock
        self._next_look = context.clock.monotonic() + FIRST_LOOK_S
        self.has_waiting = False
        self._claims = 0
        self._unheard: deque[tuple[Callable[[], object], int]] = deque()
        self._old_claims = None if context.member is None else f"{context.member}#"
        self._tried = 0
        self._counted = (0, -math.inf)

    def look_now(self) -> None:
        """Let the next turn look, whenever the last look was."""
        self._next_look = 0.0
        self._counted = (0, -math.inf)

    def look_soon(self) -> None:
        """A task was parked as waiting: look again within a second."""
        self._next_look = min(self._next_look, self._clock.monotonic() + LOOK_WHILE_WAITING_S)
        self.has_waiting = True

    @property
    def is_time(self) -> bool:
        """Whether it is time to look. Never where the source takes up its parked tasks itself."""
        return not self._is_the_sources and self._clock.monotonic() >= self._next_look

    def has_due(self) -> bool:
        """Whether a task is due now, or the store is to hear of one; where none is, the next look is planned."""
        try:
            return bool(self._unheard) or self._plan_next_look(is_more_due=False) == 0
        except StoreAwayError as error:
            self._outage.note(error)
            return False

    def claim(self, limit: int) -> list[ParkedTask]:
        """Claim what is due now; each is to be concluded or put back. The next look is planned.

        A row of a source that keeps rows is as it is now, not as it was when it was parked.
        """
        claimed: Sequence[ParkedTask] = ()
        try:
            claimed = self._claim(limit)
            self._plan_next_look(is_more_due=len(claimed) == limit)
        except StoreAwayError as error:
            self._note_away(error)
        return list(claimed) if self._rows is None or not claimed else self._as_they_are(self._rows, claimed)

    def attempt(self, parked: ParkedTask) -> Attempt:
        """An attempt at a parked task."""
        return Attempt(unparked(parked), lambda is_again: self._decode(parked.payload))

    def conclude(self, parked: ParkedTask, conclusion: Conclusion) -> bool:
        """Bring a claimed task to its outcome. False while the store is away: the claim stays, and it is told later."""
        self._count(parked, conclusion)
        return self._say(partial(self._finish, parked, conclusion), 1)

    def put_back(self, claimed: Sequence[ParkedTask]) -> None:
        """Give these back, which have come to no outcome: any worker may have them."""
        if claimed:
            self._next_look = 0.0
            owner = self._lease.owner
            self._say(lambda: self._store.call(lambda store: store.release_tasks(claimed, owner)), len(claimed))

    def parked_count(self) -> tuple[int, int] | None:
        """How many tasks of the consumer are waiting, and how many dead; the keeper asks once a beat.

        None where that was counted a while ago, and this worker has parked or tried nothing since. StoreAwayError.
        """
        changes, now = self._board.parked + self._tried, self._clock.monotonic()
        if self._counted[0] == changes and now - self._counted[1] < COUNT_AGAIN_S:
            return None
        self._counted = (changes, now)
        consumer = self._consumer
        return self._store.ask(consumer, lambda store: store.parked_count(consumer), (0, 0))

    def renew(self) -> None:
        """Keep the claims while their tasks run."""
        if self._claims:
            lease = self._lease
            self._store.call(lambda store: store.renew(lease))

    def _as_they_are(self, rows: KeepsRows, claimed: Sequence[ParkedTask]) -> list[ParkedTask]:
        """Those of the claimed tasks that are dead still, with what their rows have now. The copy of
        a row that is done or set back is dropped; that of one that is not found is kept, as dead. Where a worker has
        the row, or nobody can look, the task is put back.
        """
        try:
            now = rows.parked_rows([parked.task_id for parked in claimed])
        except SourceAwayError:  # the loop meets it with the next batch, and tells it
            self._put_back_for_a_while(claimed)
            return []
        left, busy = [], []
        for parked in claimed:
            row = now.get(parked.task_id)
            if row is None:  # of another table, which the consumer had before
                left.append(parked)
            elif row.payload is not None:
                left.append(replace(parked, payload=row.payload))
            elif row.is_claimed:
                busy.append(parked)
            elif row.is_over:
                self._drop(parked, row.fate)
            else:
                self._keep(parked, row.fate)
        self._put_back_for_a_while(busy)
        return left

    def _put_back_for_a_while(self, claimed: Sequence[ParkedTask]) -> None:
        if claimed:
            self.put_back(claimed)
            self._next_look = self._clock.monotonic() + LOOK_WHILE_WAITING_S

    def _drop(self, parked: ParkedTask, why: str) -> None:
        """There is nothing to be tried again: forget the copy."""
        self._tried += 1
        consumer, task_id, owner = self._consumer, parked.task_id, self._lease.owner
        self._emit(events.copy_dropped(task=task_id, why=why))
        self._say(lambda: self._store.call(lambda store: store.finish(consumer, task_id, owner)), 1)

    def _keep(self, parked: ParkedTask, why: str) -> None:
        """Nobody knows what became of the row: the copy may be the last there is, and a person has to decide."""
        self._tried += 1
        self._emit(events.copy_kept(task=parked.task_id, why=why))
        self._say(partial(self._park_again, as_dead(parked, why)), 1)

    def _release_old_claims(self) -> None:
        if (owner_prefix := self._old_claims) is not None:
            self._store.call(lambda store: store.release(owner_prefix))
            self._old_claims = None

    def _say(self, tell: Callable[[], object], claims: int) -> bool:
        """Tell the store what became of so many claims. While it is away they stay ours, or others would run what has
        ended here.
        """
        self._unheard.append((tell, claims))
        try:
            self.say_unheard()
        except StoreAwayError as error:
            self._note_away(error)
        return not self._unheard

    def say_unheard(self) -> None:
        """Tell what the store has not heard yet. StoreAwayError."""
        while self._unheard:
            tell, claims = self._unheard[0]
            tell()
            del self._unheard[0]
            self._claims -= claims

    def _claim(self, limit: int) -> Sequence[ParkedTask]:
        consumer, lease = self._consumer, self._lease
        self.say_unheard()
        if self._store.has_nothing(consumer):
            self._old_claims = None
            self._settling.note_answer()
            return ()
        self._suspects.load()
        self._release_old_claims()
        claimed = self._store.call(
            lambda store: store.claim_due(consumer, limit, lease),
            undo=lambda store, late: store.release_tasks(late, lease.owner),
        )
        self._settling.note_answer()
        self._claims += len(claimed)
        return claimed

    def _count(self, parked: ParkedTask, conclusion: Conclusion) -> None:
        """Note what became of a task, which the store may hear later."""
        self._tried += 1
        self._board.note_ended(ended_task(conclusion.task, conclusion, self._clock.wall()))
        if isinstance(conclusion.outcome, Done):
            self._board.note_done(1)
            self._breaker.note_done()
            if self._rows is not None:
                self._rows.finish_parked(parked.task_id)  # first: a crash repeats the task, and the row says so
            return
        assert not isinstance(conclusion.outcome, Unfinished)
        self._board.note_outcome(conclusion.outcome, **conclusion.counted)

    def _finish(self, parked: ParkedTask, conclusion: Conclusion) -> None:
        """Bring a task to its outcome in the store, where it is still this worker's."""
        consumer, owner = self._consumer, self._lease.owner
        if isinstance(conclusion.outcome, Done):
            is_ours = self._store.call(lambda store: store.finish(consumer, parked.task_id, owner))
        else:
            again = parked_task(consumer, conclusion, self._clock.wall())
            is_parked = self._park_again(again)
            if is_parked is None:
                return
            is_ours = is_parked
            if is_ours:
                self._suspects.clear(parked.task_id)
                self._board.note_parked(1)
                self._emit(parked_fact(again))
            if isinstance(conclusion.outcome, Retry):
                self.look_soon()
        if not is_ours:
            fate = self._store.call(lambda store: store.fate(consumer, parked.task_id))
            self._emit(events.lease_lost(task=parked.task_id, then=fate))

    def _park_again(self, again: ParkedTask) -> bool | None:
        """Whether it was still this worker's; None where the store refuses it: it is as it was, and due again once its
        lease is over.
        """
        owner = self._lease.owner
        try:
            return self._store.call(lambda store: store.park_again(again, owner))
        except UnstorableError as error:
            self._emit(events.task_unstorable(task=again.task_id, offset=again.offset, error=str(error)))
            return None

    def _note_away(self, error: StoreAwayError) -> None:
        self._outage.note(error)
        self._next_look = 0.0

    def _plan_next_look(self, *, is_more_due: bool) -> float | None:
        """In how many seconds the next task is due; None where none waits."""
        self.has_waiting = is_more_due
        if is_more_due:
            self._next_look = 0.0
            return 0.0
        consumer = self._consumer
        due_in_s = self._store.ask(consumer, lambda store: store.next_due(consumer), None)
        self.has_waiting = due_in_s is not None
        pause_s = LOOK_OTHERWISE_S if due_in_s is None else min(max(due_in_s, LOOK_WHILE_WAITING_S), LOOK_OTHERWISE_S)
        self._next_look = self._clock.monotonic() + pause_s
        return due_in_s
