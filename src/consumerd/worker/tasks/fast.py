"""The fast loop: a synchronous handler, in order, no hook overridden. Runs in workers and the foreground.

For each task beyond what a bare loop does: one 8-byte store (the cursor on the board, before the handler) and one
test of the interrupt cell (after it). Nothing is counted: how far it came, the iterator knows.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from traceback import walk_tb
from typing import Any

from consumerd import events
from consumerd.model.failure import drop_tracebacks
from consumerd.model.outcome import Done
from consumerd.model.task import Task
from consumerd.sources.contract import Batch
from consumerd.sources.decoding import TOMBSTONE
from consumerd.wire.figures.recorder import Ran
from consumerd.worker.attempts.attempt import VERDICTS, Attempt, Handler
from consumerd.worker.attempts.maker import UNSEEN, AttemptMaker
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import Cell, LeaseCell
from consumerd.worker.tasks.runner import SingleRunner, Span


def run_fast(
    batch: Batch,
    remaining: Iterator[Any],  # over batch.raws, whatever the source gives
    handle: Handler,
    *,
    decode: Callable[[Any], object],
    cell: Cell,
    cursor: memoryview,
    values_are_known: bool,
) -> object:
    """Handle what remains, until all is done, the cell is set, or the handler returned something to look at.

    decode: the batch's own, perhaps with a validation behind it. cursor: that one word of the board.
    The answer is that something: a verdict, or the first other value (`values_are_known` false); else None. Whatever
    the handler or the decoder raises passes through; `remaining` then stands behind the task that raised.
    """
    offset, payload = batch.offset, batch.payload
    for raw in remaining:
        cursor[()] = here = offset(raw)
        result = handle(here, decode(payload(raw)))
        if result is not None and (isinstance(result, VERDICTS) or not values_are_known):
            return result
        if cell[0]:
            return None
    return None


def was_begun(handle: Handler, error: BaseException) -> bool:
    """Whether an error that came out of the loop was raised within the handler's own code, and not by the decoder."""
    code = getattr(getattr(handle, "__func__", handle), "__code__", None)
    return code is not None and any(frame.f_code is code for frame, _ in walk_tb(error.__traceback__))


OF_NO_OBJECT = (TypeError, AttributeError, LookupError)
"""What a handler raises that takes its record for an object, and it is none: the message then says so."""


class FastRunner:
    """Hands back what is done in one span, and each other task by itself."""

    def __init__(
        self, context: WorkerContext, handle: Handler, maker: AttemptMaker, single: SingleRunner, *, is_leased: bool
    ) -> None:
        """single: goes on with what the fast loop has begun. is_leased: whether tasks are held for a time alone."""
        self._handle = handle
        self._maker = maker
        self._single = single
        self._records = single.records
        self._emit = context.emit
        cell = context.interrupts.cell
        self._cell = LeaseCell(cell, context.clock) if is_leased else cell
        self._clock, self._board = context.clock, context.board
        self._cursor = self._board.lane.cursor()
        self._values_are_known = False
        self._batch: Batch | None = None
        self._remaining: Iterator[Any] = iter(())  # over the raws of whatever source
        self._next = self._stop = 0

    @property
    def task(self) -> Task | None:
        """The task that the fast loop is at; None where it is at none."""
        reached = self._handed_out()
        return self._batch.task(reached - 1) if self._batch is not None and reached > self._next else None

    @property
    def is_busy(self) -> bool:
        return self._single.is_busy or self._next < self._stop

    def start(self, batch: Batch, start: int, stop: int) -> None:
        self._batch, self._next, self._stop = batch, start, stop
        self._remaining = iter(batch.raws[start:stop] if start or stop < len(batch.raws) else batch.raws)

    def finished(self) -> Sequence[Span]:
        if self._single.is_busy:
            return self._single.finished()
        assert self._batch is not None
        start, began = self._next, self._clock.monotonic()
        failed = self._run(self._batch)
        self._next = self._handed_out()
        took_s, calls = self._clock.monotonic() - began, self._next - start
        if not calls:
            return ()
        self._board.note_calls(calls, took_s)
        ran = Ran(took_s / calls, calls > 1)
        stop = self._next - (failed is not None)
        if failed is not None:
            failed.ran = ran
            self._single.take(self._batch, stop, failed)
        return (Span(self._batch, start, stop, None, ran),) if stop > start else ()

    def leave(self) -> None:
        self._stop = self._next
        self._single.leave()

    def _handed_out(self) -> int:
        return self._stop - operator.length_hint(self._remaining)

    def _run(self, batch: Batch) -> Attempt | None:
        """Run the fast loop; the last task that it has handed out, where that needs more."""
        try:
            ended = run_fast(
                batch,
                self._remaining,
                self._handle,
                decode=self._records.decoder(batch),
                cell=self._cell,
                cursor=self._cursor,
                values_are_known=self._values_are_known,
            )
        except BaseException as error:
            if self._handed_out() == self._next:
                raise  # the user's handler of a signal, before there was a task
            return self._failed(batch, self._handed_out() - 1, error)
        if ended is None:
            return None
        ending = self._maker.ending(ended)
        if not isinstance(ending, Done):
            return self._records.attempt(batch, self._handed_out() - 1, ending)
        self._values_are_known = True
        self._emit(events.value_returned(type=type(ended).__name__, taken_as="done"))
        return None

    def _failed(self, batch: Batch, at: int, error: BaseException) -> Attempt:
        """The task at which the fast loop has ended so: attempted, or still to be, where the payload made no record.

        The fast loop does not say who raised, which would cost time with each task: where the handler's code had not
        begun, it shows in whether the payload can be decoded now.
        """
        is_begun = was_begun(self._handle, error) or isinstance(error, MemoryError)
        record: object = UNSEEN
        if not is_begun or isinstance(error, OF_NO_OBJECT):
            anew = self._records.attempt(batch, at)
            try:
                record = anew.record()
            except BaseException as refusal:  # noqa: BLE001 - of whatever decoder; the attempt that follows meets it again
                drop_tracebacks(refusal)
            if not is_begun and (record is UNSEEN or record is TOMBSTONE):
                drop_tracebacks(error)
                return self._records.attempt(batch, at)
        return self._records.attempt(batch, at, self._maker.failed(error, record))
