"""Tasks that must be parked before they may settle. Runs in workers and the foreground.

What failed is *held* until the store has it: one write for all that a batch brought. While the store is away, held
tasks stay unfinished, their shards settle up to the first of them, and the loop stops fetching at `max_unsettled`.

What one task brings must not hold up the others. A write that fails is repeated with half of its tasks; a task that is
not taken, though others are, is told by itself, stays held, and is tried again after growing pauses.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import events
from consumerd.errors import StoreAwayError, UnstorableError
from consumerd.events.facts import Fact
from consumerd.model.outcome import Dead, Expired, Outcome, Retry
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import Task, TaskId
from consumerd.parking.thread import CALL_TIMEOUT_S, StoreThread
from consumerd.sources.contract import Batch, Settlement
from consumerd.worker.tasks.attempt import Conclusion
from consumerd.worker.tasks.context import WorkerContext

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
LONGEST_REFUSED_PAUSE_S = 60.0
MOST_AT_ONCE = 512


@dataclass(slots=True, eq=False)
class Held:
    """A task that waits for the store, and how it settles once it is there.

    failures: writes of this task alone that failed.
    is_refused: the store took others meanwhile, and this was told.
    again_at: the task is not tried before this time of the monotonic clock.
    """

    parked: ParkedTask
    settlement: Settlement
    failures: int = 0
    is_refused: bool = False
    again_at: float = 0.0


class Parking:
    """Holds what failed, and parks it. The loop's thread alone calls it."""

    def __init__(self, context: WorkerContext, store: StoreThread, on_parked: Callable[[TaskId], None]) -> None:
        """on_parked: is told of each task that the store has now."""
        self._consumer = context.name
        self._store = store
        self._emit = context.emit
        self._clock = context.clock
        self._on_parked = on_parked
        self._held: list[Held] = []
        self._away_since: float | None = None
        self._next_try = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._at_once = MOST_AT_ONCE

    @property
    def held(self) -> int:
        """How many tasks wait for the store."""
        return len(self._held)

    @property
    def is_away(self) -> bool:
        """Whether the store did not answer when it was last asked."""
        return self._away_since is not None

    @property
    def refuses_some(self) -> bool:
        """Whether the store takes other tasks, and does not take one that is held."""
        return any(held.is_refused for held in self._held)

    def hold(self, batch: Batch, index: int, conclusion: Conclusion) -> None:
        """Keep the task at `index` for the next flush."""
        assert conclusion.outcome is not None
        parked = parked_task(self._consumer, conclusion, self._clock.wall())
        self._held.append(Held(parked, Settlement(batch, index, index + 1, conclusion.outcome)))

    def lost(self) -> tuple[ParkedTask, ...]:
        """What the store did not take until the end, of a source that will not give it again."""
        return tuple(held.parked for held in self._held)

    def flush(self, *, is_last: bool = False) -> tuple[Settlement, ...]:
        """Park all that is held; the settlements that may now be made. None while the store is away.

        is_last: ask the store whatever it said before.
        """
        if not self._held or not (is_last or self.may_ask()):
            return ()
        now = self._clock.monotonic()
        stored = self._store_of([held for held in self._held if is_last or held.again_at <= now], is_last=is_last)
        gone = set(stored)
        self._held = [held for held in self._held if held not in gone]
        for held in stored:
            self._emit(parked_fact(held.parked))
            self._on_parked(held.parked.task_id)
        return tuple(held.settlement for held in stored)

    def _store_of(self, asked: list[Held], *, is_last: bool) -> list[Held]:
        """Park as many of the tasks as the store takes; which they are. Those that failed alone come last, alone.

        Whether the store or the task is to blame shows in what it takes in between: a store that is away takes none.
        """
        stored: list[Held] = []
        answers = False
        while asked:
            some = [held for held in asked if not held.failures][: self._at_once]
            some = some or [min(asked, key=lambda held: held.failures)]
            error = self._park(some, is_last=is_last)
            if error is None:
                stored += some
            elif len(some) == 1 and _is_to_blame(some[0], error, answers=answers):
                self._put_off(some[0], error)
            elif not answers and not isinstance(error, UnstorableError):
                some[0].failures += len(some) == 1  # another task is the first to be tried next time
                self.note_away(error)
                break
            elif len(some) > 1:
                continue
            else:
                some[0].failures += 1
            answers = error is None or isinstance(error, UnstorableError)
            tried = set(some)
            asked = [held for held in asked if held not in tried]
        return stored

    def _park(self, some: list[Held], *, is_last: bool) -> StoreAwayError | None:
        """Park these in one write, or say why not; the next write takes twice, or half, as many."""
        parked = [held.parked for held in some]
        try:
            self._store.call(lambda store: store.park(parked), CALL_TIMEOUT_S if is_last else None)
        except StoreAwayError as error:
            self._at_once = max(1, len(some) // 2)
            if isinstance(error, UnstorableError):
                self.note_back()
            return error
        self._at_once = min(MOST_AT_ONCE, self._at_once * 2)
        self.note_back()
        return None

    def _put_off(self, held: Held, refusal: StoreAwayError) -> None:
        """Try a task that is refused again after a while. That it is refused is told once."""
        held.failures += 1
        held.again_at = self._clock.monotonic() + min(FIRST_PAUSE_S * 2**held.failures, LONGEST_REFUSED_PAUSE_S)
        if not held.is_refused:
            held.is_refused = True
            parked = held.parked
            self._emit(events.task_unstorable(task=parked.task_id, offset=parked.offset, error=str(refusal)))

    def forget(self, settles: Callable[[Batch], bool]) -> None:
        """Drop what is held of batches that were taken away: parked now, a task would be here and there.

        It comes again elsewhere and begins anew: the attempts made here are known to nobody there. They were made
        once, and counted where they could be: nothing is burnt.
        """
        if self._held:
            self._held = [held for held in self._held if settles(held.settlement.batch)]

    def note_away(self, error: StoreAwayError) -> None:
        """The store did not answer: report it once, and try again after a growing pause."""
        now = self._clock.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._pause_s = FIRST_PAUSE_S
            self._emit(events.store_away(error=str(error)))
        self._next_try = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def note_answer(self) -> None:
        """The store answered a question. While tasks are held for it, only a write shows whether it is back."""
        if not self._held:
            self.note_back()

    def note_back(self) -> None:
        """The store is there."""
        if self._away_since is not None:
            downtime = self._clock.monotonic() - self._away_since
            self._away_since = None
            self._emit(events.store_back(away_s=round(downtime, 3)))

    def may_ask(self) -> bool:
        """Whether the store should be asked at all now: it is there, or the pause since its last silence is over."""
        return not self.is_away or self._clock.monotonic() >= self._next_try


def _is_to_blame(held: Held, error: StoreAwayError, *, answers: bool) -> bool:
    """Whether the task is refused, and the store not away. answers: the store took another task just before."""
    return isinstance(error, UnstorableError) or held.is_refused or (answers and held.failures > 0)


def lost_fact(parked: ParkedTask) -> Fact:
    """That nobody has a task any more: its generator gave it away, and the store did not take it until the end."""
    advice = "the parking store did not answer until the stop's deadline: the task is to be produced again"
    return events.task_lost(task=parked.task_id, offset=parked.offset, error=parked.error, advice=advice)


def parked_fact(parked: ParkedTask) -> Fact:
    """That the store has a task now: an error where a person must decide."""
    event = events.task_died if parked.state is ParkedState.DEAD else events.task_parked
    return event(
        task=parked.task_id,
        offset=parked.offset,
        shard=parked.shard,
        state=parked.state.value,
        attempts=parked.attempts,
        error=parked.error,
    )


def parked_task(consumer: str, conclusion: Conclusion, now: float) -> ParkedTask:
    """The row that a concluded task becomes. A task without an id gets a random one."""
    task, outcome, failure = conclusion.task, conclusion.outcome, conclusion.failure
    assert outcome is not None
    assert failure is not None
    return ParkedTask(
        consumer=consumer,
        task_id=task.id or TaskId(f"{task.source}:{uuid.uuid4().hex}"),
        source=task.source,
        shard=task.shard,
        position=task.position,
        offset=task.offset,
        state=ParkedState.WAITING if isinstance(outcome, Retry) else ParkedState.DEAD,
        due_at=now + outcome.after if isinstance(outcome, Retry) else None,
        attempts=task.attempts,
        first_at=task.first_at or now,
        last_at=now,
        error=_error_line(outcome, failure.error),
        traceback=failure.traceback,
        payload=task.payload,
        key=task.key,
        headers=task.headers,
        crashes=conclusion.crashes,
    )


def must_be_parked(outcome: Outcome, *, is_durable_defer: bool) -> bool:
    """Whether the parking store must have the task before it settles; a source with rows keeps a retry itself."""
    if isinstance(outcome, Retry):
        return not is_durable_defer
    return isinstance(outcome, (Dead, Expired))


def unparked(parked: ParkedTask) -> Task:
    """The task that a parked row holds, for its next attempt."""
    return Task(
        id=parked.task_id,
        offset=parked.offset,
        source=parked.source,
        shard=parked.shard,
        position=parked.position,
        payload=parked.payload,
        key=parked.key,
        headers=parked.headers,
        attempts=parked.attempts,
        first_at=parked.first_at,
        is_tombstone=not parked.payload and parked.attempts > 0,  # without a payload, nothing else is ever attempted
    )


def _error_line(outcome: Outcome, error: str) -> str:
    return f"{error} ({outcome.reason})" if isinstance(outcome, Expired) else error
