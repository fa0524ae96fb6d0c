"""Parked tasks that are due again: claimed from the parking store, attempted, finished or parked anew. Runs in workers.

Any worker of the consumer takes them. It looks once a second while it knows of waiting tasks, every fifteen seconds
otherwise, and at once when the master wakes it (an operator's retry).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence

from consumerd import events
from consumerd.database.claims import Lease
from consumerd.errors import StoreAwayError
from consumerd.model.outcome import Done
from consumerd.model.parked import ParkedTask
from consumerd.model.task import Task
from consumerd.parking.thread import StoreThread
from consumerd.sources.contract import KeepsRows, Source
from consumerd.worker.attempts.attempt import Attempt, Conclusion, Unfinished
from consumerd.worker.attempts.attempts import Attempts
from consumerd.worker.attempts.breaker import Breaker
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.gate import Pace
from consumerd.worker.tasks.parked_rows import parked_fact, parked_task, unparked
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.tasks.settling import Settling
from consumerd.worker.tasks.suspects import Suspects

FIRST_LOOK_S = 0.5
"""A worker that has just started has its source's tasks to begin with."""

LOOK_WHILE_WAITING_S = 1.0
LOOK_OTHERWISE_S = 15.0
CLAIMED_AT_ONCE = 20
COUNT_AGAIN_S = 10.0
LEASE_S = 30.0
TURN_S = 0.5
"""So long parked tasks are tried before it is the source's turn again, and each of them once begun to its end."""


class DueTasks:
    """The due tasks of one consumer, as one worker takes them. The loop's thread calls it; the keeper calls `renew`.

    has_waiting: whether a task of the consumer waits to be tried again, as of the last look.
    """

    def __init__(
        self,
        context: WorkerContext,
        store: StoreThread,
        settling: Settling,
        attempts: Attempts,
        suspects: Suspects,
        breaker: Breaker,
        share: RetryShare,
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
        self._attempts = attempts
        self._rows = source if isinstance(source, KeepsRows) else None
        self._is_the_sources = source.traits.gives_again
        self._suspects = suspects
        self._breaker = breaker
        self._share = share
        self._lease = Lease(context.lease_owner, LEASE_S)
        self._decode = decode
        self._board = context.board
        self._emit = context.emit
        self._clock = context.clock
        self._next_look = context.clock.monotonic() + FIRST_LOOK_S
        self._pace = Pace(TURN_S)
        self.has_waiting = False
        self._claims = 0
        self._old_claims = None if context.member is None else f"{context.member}#"
        self._tried = 0
        self._is_leaving = False
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
    def task(self) -> Task | None:
        """The parked task that is attempted now."""
        return self._attempts.task

    @property
    def is_time(self) -> bool:
        """Whether it is time to look. Never where the source takes up its parked tasks itself."""
        return not (self._is_the_sources or self._share.rests) and self._clock.monotonic() >= self._next_look

    def has_due(self) -> bool:
        """Whether a task is due now; where none is, the next look is planned."""
        try:
            return self._plan_next_look(is_more_due=False) == 0
        except StoreAwayError as error:
            self._outage.note(error)
            return False

    def leave(self) -> None:
        """Begin no further task, and no further attempt at one, in this turn."""
        self._is_leaving = True

    def turn(self, attempts: Attempts) -> Generator[None]:
        """Attempt what is due now, for a while. Where the caller is to look up it pauses, and may be told to `leave`.

        What is claimed and not begun in it is released.
        """
        self._is_leaving = False
        try:
            limit = min(self._pace.fitting(TURN_S), CLAIMED_AT_ONCE)
            self._attempts = attempts
            if claimed := self._claim(limit):
                yield from self._run(claimed, limit)
        except StoreAwayError as error:
            self._outage.note(error)
            self._next_look = 0.0

    def claim(self, limit: int) -> list[ParkedTask]:
        """Claim what is due now, for tasks that run beside each other; each is to be finished or put back."""
        try:
            claimed = self._claim(limit)
            if claimed:
                self._plan_next_look(is_more_due=len(claimed) == limit)
        except StoreAwayError as error:
            self._outage.note(error)
            self._next_look = 0.0
            return []
        return claimed

    def attempt(self, parked: ParkedTask) -> Attempt:
        """An attempt at a parked task."""
        return Attempt(unparked(parked), lambda is_again: self._decode(parked.payload))

    def conclude(self, parked: ParkedTask, conclusion: Conclusion) -> None:
        """Bring a claimed task to its outcome. While the store is away the claim stays, until its lease ends."""
        self._claims -= 1
        try:
            self._finish(parked, conclusion)
        except StoreAwayError as error:
            self._outage.note(error)

    def put_back(self, claimed: Sequence[ParkedTask]) -> None:
        """Give these back, which have come to no outcome: any worker may have them."""
        self._claims -= len(claimed)
        try:
            self._store.call(lambda store: store.release_tasks(claimed, self._lease.owner))
        except StoreAwayError as error:
            self._outage.note(error)
        self._next_look = 0.0

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

    def _release_old_claims(self) -> None:
        if (owner_prefix := self._old_claims) is not None:
            self._store.call(lambda store: store.release(owner_prefix))
            self._old_claims = None

    def _claim(self, limit: int) -> list[ParkedTask]:
        """Where nothing is due, the next look is planned."""
        consumer, lease = self._consumer, self._lease
        if self._store.has_nothing(consumer):
            self._old_claims = None
            self._plan_next_look(is_more_due=False)
            return []
        self._suspects.load()
        self._release_old_claims()
        claimed = self._store.call(
            lambda store: store.claim_due(consumer, limit, lease),
            undo=lambda store, late: store.release_tasks(late, lease.owner),
        )
        self._settling.note_answer()
        self._claims += len(claimed)
        if not claimed:
            self._plan_next_look(is_more_due=False)
        return list(claimed)

    def _run(self, claimed: list[ParkedTask], limit: int) -> Generator[None]:
        finished, began = 0, self._clock.monotonic()
        try:
            for parked in claimed:
                yield
                if self._is_leaving or self._clock.monotonic() - began >= TURN_S:
                    break
                self._board.lane.begin(parked.shard)
                conclusion = yield from self._conclude(parked)
                if isinstance(conclusion.outcome, Unfinished):
                    break
                self._finish(parked, conclusion)
                finished += 1
        finally:
            self._claims = 0
            self._board.lane.rest()
            self._share.note_retried(self._clock.monotonic() - began)
        self._pace.learn(finished, self._clock.monotonic() - began)
        if finished < len(claimed):
            self._store.call(lambda store: store.release(self._lease.owner))
        self._plan_next_look(is_more_due=len(claimed) == limit or finished < len(claimed))

    def _conclude(self, parked: ParkedTask) -> Generator[None, None, Conclusion]:
        """Attempt one task, unless it has killed too many workers."""
        task, suspect = unparked(parked), self._suspects.find(parked.task_id, parked)
        if suspect is not None and (end := self._suspects.begin(task, suspect, self._settling)) is not None:
            return end
        self._suspects.show(task)
        self._attempts.begin(self.attempt(parked))
        while (conclusion := self._attempts.go_on()) is None:
            yield
            if self._is_leaving:
                self._attempts.leave()
        self._suspects.end(is_cleared=not isinstance(conclusion.outcome, Unfinished))
        return conclusion

    def _finish(self, parked: ParkedTask, conclusion: Conclusion) -> None:
        """Bring a task to its outcome in the store, where it is still this worker's."""
        consumer, owner = self._consumer, self._lease.owner
        if isinstance(conclusion.outcome, Done):
            self._board.note_done(1)
            self._breaker.note_done()
            if self._rows is not None:
                self._rows.finish_parked(parked.task_id)  # first: a crash repeats the task, and the row says so
            is_ours = self._store.call(lambda store: store.finish(consumer, parked.task_id, owner))
        else:
            if conclusion.was_tried:
                self._board.note_failed()
            again = parked_task(consumer, conclusion, self._clock.wall())
            is_ours = self._store.call(lambda store: store.park_again(again, owner))
            if is_ours:
                self._suspects.clear(parked.task_id)
                self._board.note_parked(1)
                self._emit(parked_fact(again))
        self._tried += 1
        if not is_ours:
            fate = self._store.call(lambda store: store.fate(consumer, parked.task_id))
            self._emit(events.lease_lost(task=parked.task_id, then=fate))

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
