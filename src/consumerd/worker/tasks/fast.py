"""The fast loop: a synchronous handler, in order, no hook overridden. Runs in workers and the foreground.

For each task beyond what a bare loop does: one 8-byte store (the cursor on the board, before the handler) and one
test of the interrupt cell (after it). Nothing is counted: how far it came, the iterator knows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from traceback import walk_tb
from typing import Any

from consumerd.model.outcome import Dead, Retry
from consumerd.sources.contract import Batch

Handler = Callable[..., object]


VERDICTS = (Retry, Dead)
"""What a handler returns to decide its outcome; any other value means done."""


def refused_value(result: object) -> TypeError | None:
    """An error for a result that shows that the handler's body never ran: a coroutine, a generator."""
    if isinstance(result, (Coroutine, Generator, AsyncGenerator)):
        kind = type(result).__name__
        if isinstance(result, Coroutine):
            result.close()
        return TypeError(f"handle_task returned a {kind}, so its body never ran: make it `async def`, without yield")
    return None


def run_fast(
    batch: Batch,
    remaining: Iterator[Any],  # over batch.raws, whatever the source gives
    handle: Handler,
    *,
    decode: Callable[[Any], object],
    cell: list[bool],
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
        result = handle(offset=here, record=decode(payload(raw)))
        if result is not None and (isinstance(result, VERDICTS) or not values_are_known):
            return result
        if cell[0]:
            return None
    return None


def was_begun(handle: Handler, error: BaseException) -> bool:
    """Whether an error that came out of the loop was raised within the handler's own code, and not by the decoder."""
    code = getattr(getattr(handle, "__func__", handle), "__code__", None)
    return code is not None and any(frame.f_code is code for frame, _ in walk_tb(error.__traceback__))
