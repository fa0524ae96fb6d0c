"""Tasks that must be parked before they may settle. Runs in workers and the foreground.

What failed is *held* until the store has it: one write for all that a batch brought. While the store is away, held
tasks stay unfinished, their shards settle up to the first of them, and the loop stops fetching at `max_unsettled`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from consumerd.clock import Clock
from consumerd.errors import StoreAwayError
from consumerd.events.facts import Fact, Level
from consumerd.model.outcome import Dead, Expired, Outcome, Retry
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch, Settlement
from consumerd.store.thread import CALL_TIMEOUT_S, StoreThread
from consumerd.worker.attempt import Conclusion

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """A task that waits for the store, and how it settles once it is there."""

    parked: ParkedTask
    settlement: Settlement


class Parking:
    """Holds what failed, and parks it. The loop's thread alone calls it."""

    def __init__(
        self,
        consumer: str,
        store: StoreThread,
        *,
        emit: Callable[[Fact], None],
        clock: Clock,
        on_parked: Callable[[TaskId], None],
    ) -> None:
        """on_parked: is told of each task that the store has now."""
        self._consumer = consumer
        self._store = store
        self._emit = emit
        self._clock = clock
        self._on_parked = on_parked
        self._held: list[Held] = []
        self._away_since: float | None = None
        self._next_try = 0.0
        self._pause_s = FIRST_PAUSE_S

    @property
    def held(self) -> int:
        """How many tasks wait for the store."""
        return len(self._held)

    @property
    def is_away(self) -> bool:
        """Whether the store did not answer when it was last asked."""
        return self._away_since is not None

    def hold(self, batch: Batch, index: int, conclusion: Conclusion) -> None:
        """Keep the task at `index` for the next flush."""
        assert conclusion.outcome is not None
        parked = parked_task(self._consumer, conclusion, self._clock.wall())
        self._held.append(Held(parked, Settlement(batch, index, index + 1, conclusion.outcome)))

    def flush(self, *, is_last: bool = False) -> tuple[Settlement, ...]:
        """Park all that is held; the settlements that may now be made. None while the store is away.

        is_last: ask the store whatever it said before.
        """
        if not self._held or not (is_last or self.may_ask()):
            return ()
        parked = [held.parked for held in self._held]
        try:
            self._store.call(lambda store: store.park(parked), CALL_TIMEOUT_S if is_last else None)
        except StoreAwayError as error:
            self.note_away(error)
            return ()
        self.note_back()
        settlements = tuple(held.settlement for held in self._held)
        for held in self._held:
            self._emit(parked_fact(held.parked))
            self._on_parked(held.parked.task_id)
        self._held.clear()
        return settlements

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
            self._emit(Fact("store_away", Level.ERROR, {"error": str(error)}))
        self._next_try = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def note_back(self) -> None:
        """The store answered."""
        if self._away_since is not None:
            downtime = self._clock.monotonic() - self._away_since
            self._away_since = None
            self._emit(Fact("store_back", Level.INFO, {"away_s": round(downtime, 3)}))

    def may_ask(self) -> bool:
        """Whether the store should be asked at all now: it is there, or the pause since its last silence is over."""
        return not self.is_away or self._clock.monotonic() >= self._next_try


def parked_fact(parked: ParkedTask) -> Fact:
    """That the store has a task now: an error where a person must decide."""
    level = Level.ERROR if parked.state is ParkedState.DEAD else Level.WARNING
    fields: dict[str, object] = {"task": parked.task_id, "offset": parked.offset, "shard": parked.shard}
    fields |= {"state": parked.state.value, "attempts": parked.attempts, "error": parked.error}
    return Fact("task_parked", level, fields)


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
