"""The stacks of a worker's threads, as `faulthandler` writes them, for places that take only the begin of a text. Pure.

The innermost call stands first, and the main thread last: what the handler does would be what is missing.
"""

from __future__ import annotations

import re

SHOWN_CHARACTERS = 1_900
"""The least that each of those places shows."""

_BLANK = re.compile(r"\n\s*\n")
_HANDLERS = (" in handle_task", " in handle_batch")
_MORE = "\n  ..."
"""Where a thread has more than a hundred calls, its outermost are not known."""
_INNERMOST = (30, 12, 6, 3, 1)
_AROUND = 2


def handler_first(stacks: str, within: int = SHOWN_CHARACTERS) -> str:
    """The thread that runs the handler first, with the calls of the handler itself and what it is in within so many
    characters; then the other threads. Where that is all of the text, it stays as it is.
    """
    if len(stacks) <= within:
        return stacks
    threads = _BLANK.split(stacks.strip("\n"))
    first = min(range(len(threads)), key=lambda number: (_rank(threads[number]), -number))
    others = [thread for number, thread in enumerate(threads) if number != first]
    return "\n\n".join([_fitted(threads[first], within), *others]) + "\n"


def _rank(thread: str) -> int:
    """Of the handler's thread; of one so deep that it may be the handler's; of any other."""
    if _place_of_handler(thread.splitlines()) is not None:
        return 0
    return 1 if thread.endswith(_MORE) else 2


def _place_of_handler(lines: list[str]) -> int | None:
    """Of its outermost call."""
    return max((number for number, line in enumerate(lines) if line.endswith(_HANDLERS)), default=None)


def _fitted(thread: str, within: int) -> str:
    """One thread, without calls in the middle, nor those of our own that have called the handler, where it is long."""
    lines = thread.splitlines()
    handler = _place_of_handler(lines)
    end = len(lines) if handler is None else handler + 1
    fitted = thread
    for innermost in _INNERMOST:
        if len(fitted) <= within:
            break
        begin = max(1 + innermost, end - 1 - _AROUND)
        missing = [f"  … {begin - 1 - innermost} calls …"] if begin > 1 + innermost else []
        fitted = "\n".join([*lines[: 1 + innermost], *missing, *lines[begin:end]])
    return fitted
