"""What becomes of tasks once they have run: parked where they must be kept first, and settled then.

Runs in workers and the foreground. What failed is *held* until the store has it: one write for all that a batch
brought. While the store is away, held tasks stay unfinished, their shards settle up to the first of them, and the loop
stops fetching at `max_unsettled`.

What one task brings must not hold up the others. A write that fails is repeated with half of its tasks; a task that is
not taken, though others are, is told by itself, stays held, and is tried again after growing pauses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consumerd import events
from consumerd.errors import StoreAwayError, UnstorableError
from consumerd.model.outcome import DONE, Retry
from consumerd.model.parked import ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.thread import CALL_TIMEOUT_S, StoreThread
from consumerd.sources.contract import Revocable, Settlement, Source
from consumerd.worker.attempts.attempt import Unfinished
from consumerd.worker.attempts.breaker import Outage
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.tasks.parked_rows import deferred_fact, lost_fact, must_be_parked, parked_fact, parked_task
from consumerd.worker.tasks.runner import Span

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
LONGEST_REFUSED_PAUSE_S = 60.0
MOST_AT_ONCE = 512
DRAIN_AGAIN_S = 0.4


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


class Settling:
    """Settles what runners hand back. The loop's thread alone calls it.

    outage: of the parking store.
    """

    def __init__(
        self, context: WorkerContext, source: Source, store: StoreThread, on_parked: Callable[[TaskId], None]
    ) -> None:
        """on_parked: is told of each task that the store has now."""
        self._context = context
        self._source = source
        self._store = store
        self._clock = context.clock
        self._on_parked = on_parked
        self._held: list[Held] = []
        self._at_once = MOST_AT_ONCE
        self._settled_at = context.clock.monotonic()
        self.outage = Outage(
            context, events.store_away, events.store_back, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S
        )

    @property
    def held(self) -> int:
        """How many tasks wait for the store."""
        return len(self._held)

    @property
    def refuses_some(self) -> bool:
        """Whether the store takes other tasks, and does not take one that is held."""
        return any(held.is_refused for held in self._held)

    @property
    def is_due(self) -> bool:
        """Whether `settle_interval` has passed since `settle` was last called."""
        return self._clock.monotonic() - self._settled_at >= self._context.common.settle_interval

    def take(self, span: Span) -> None:
        """These tasks have come to their end: settle them, or hold what must be parked before for the next `park`."""
        conclusion = span.conclusion
        if conclusion is None:
            self.finish((span,))
            return
        outcome = conclusion.outcome
        assert not isinstance(outcome, Unfinished)
        self._context.board.note_outcome(outcome, **conclusion.counted)
        if must_be_parked(outcome, is_durable_defer=self._source.traits.durable_defer):
            parked = parked_task(self._context.name, conclusion, self._clock.wall())
            self._held.append(Held(parked, Settlement(span.batch, span.start, span.stop, outcome)))
        else:
            settlement = Settlement(span.batch, span.start, span.stop, outcome, conclusion.task)
            self._source.settle((settlement,), is_due=False)
            if isinstance(outcome, Retry):
                self._context.emit(deferred_fact(conclusion, outcome.after))

    def finish(self, spans: Iterable[Span]) -> None:
        """All these tasks are done: settle them."""
        self._source.settle([Settlement(span.batch, span.start, span.stop, DONE) for span in spans], is_due=False)

    def park(self, *, is_last: bool = False) -> None:
        """Park what is held, and settle it. Nothing while the store is away. is_last: ask it whatever it said before.

        What is held of batches that were taken away is dropped: parked now, a task would be here and there. It comes
        again elsewhere and begins anew, for the attempts made here are known to nobody there.
        """
        if self._held and isinstance(self._source, Revocable):
            self._drop_lost(self._source)
        if not self._held or not (is_last or self.outage.pause_left_s <= 0):
            return
        now = self._clock.monotonic()
        stored = self._park([held for held in self._held if is_last or held.again_at <= now], is_last=is_last)
        gone = set(stored)
        self._held = [held for held in self._held if held not in gone]
        for held in stored:
            self._context.emit(parked_fact(held.parked))
            self._on_parked(held.parked.task_id)
        if stored:
            self._context.board.note_parked(len(stored))
            self._source.settle([held.settlement for held in stored], is_due=False)

    def revive(self, condemned: list[TaskId]) -> None:
        """Have these tried again, which are parked as dead by now; while the store is away, later."""
        if not condemned or self.outage.pause_left_s > 0:
            return
        consumer, ids = self._context.name, tuple(condemned)
        try:
            self._store.call(lambda store: store.revive(consumer, ids))
        except StoreAwayError as error:
            self.outage.note(error)
            return
        condemned.clear()
        self._context.interrupts.set(Interrupt.PARKED_DUE)

    def settle(self) -> None:
        """Have the source make durable what is settled."""
        self._source.settle((), is_due=True)
        self._settled_at = self._clock.monotonic()
        self._context.board.note_unsettled(self._source.unsettled())

    def drain(self, until: float) -> None:
        """Park what is held and settle what is finished, for the last time, as far as the store and the source answer.

        until: on the monotonic clock; so long the store is asked again, where the source would not give the task again.
        """
        gives_away = self._source.traits.gives_away
        self.park(is_last=True)
        while gives_away and self._held and self._clock.monotonic() < until:
            self._clock.sleep(DRAIN_AGAIN_S)
            self.park(is_last=True)
        self.settle()
        for held in self._held if gives_away else ():
            self._context.emit(lost_fact(held.parked))

    def note_answer(self) -> None:
        """The store answered a question. While tasks are held for it, only a write shows whether it is back."""
        if not self._held:
            self.outage.end()

    # Within

    def _drop_lost(self, source: Revocable) -> None:
        held, self._held = self._held, []
        for each in held:
            settlement = each.settlement
            if source.settles(settlement.batch):
                self._held.append(each)
            else:
                source.drop(settlement.batch, settlement.start, settlement.stop)

    def _park(self, asked: list[Held], *, is_last: bool) -> list[Held]:
        """Park as many of the tasks as the store takes; which they are. Those that failed alone come last, alone.

        Whether the store or the task is to blame shows in what it takes in between: a store that is away takes none.
        """
        stored: list[Held] = []
        answers = False
        while asked:
            some = [held for held in asked if not held.failures][: self._at_once]
            some = some or [min(asked, key=lambda held: held.failures)]
            error = self._write(some, is_last=is_last)
            if error is None:
                stored += some
            elif len(some) == 1 and _is_to_blame(some[0], error, answers=answers):
                self._put_off(some[0], error)
            elif not answers and not isinstance(error, UnstorableError):
                some[0].failures += len(some) == 1  # another task is the first to be tried next time
                self.outage.note(error)
                break
            elif len(some) > 1:
                continue
            else:
                some[0].failures += 1
            answers = error is None or isinstance(error, UnstorableError)
            tried = set(some)
            asked = [held for held in asked if held not in tried]
        return stored

    def _write(self, some: list[Held], *, is_last: bool) -> StoreAwayError | None:
        """Park these in one write, or say why not; the next write takes twice, or half, as many."""
        parked = [held.parked for held in some]
        try:
            self._store.call(lambda store: store.park(parked), CALL_TIMEOUT_S if is_last else None)
        except StoreAwayError as error:
            self._at_once = max(1, len(some) // 2)
            if isinstance(error, UnstorableError):
                self.outage.end()
            return error
        self._at_once = min(MOST_AT_ONCE, self._at_once * 2)
        self.outage.end()
        return None

    def _put_off(self, held: Held, refusal: StoreAwayError) -> None:
        """Try a task that is refused again after a while. That it is refused is told once."""
        held.failures += 1
        held.again_at = self._clock.monotonic() + min(FIRST_PAUSE_S * 2**held.failures, LONGEST_REFUSED_PAUSE_S)
        if not held.is_refused:
            held.is_refused = True
            parked = held.parked
            self._context.emit(events.task_unstorable(task=parked.task_id, offset=parked.offset, error=str(refusal)))


def _is_to_blame(held: Held, error: StoreAwayError, *, answers: bool) -> bool:
    """Whether the task is refused, and the store not away. answers: the store took another task just before."""
    return isinstance(error, UnstorableError) or held.is_refused or (answers and held.failures > 0)
