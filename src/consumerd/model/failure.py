"""What is kept of an error: one line, and a traceback, both short and without secrets.

An exception of the user's may be hostile: its `__str__` raises, or answers a hundred megabytes.
"""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ERROR_CHARACTERS = 1_000
TRACEBACK_CHARACTERS = 32_000
TRACEBACK_FRAMES = 40

_OURS = Path(__file__).parent.with_name("worker")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. error: one line; traceback: several, empty where nothing was raised."""

    error: str
    traceback: str = ""


def describe(error: BaseException, redact: Callable[[str], str]) -> Failure:
    """The failure that an exception tells of."""
    return Failure(error=one_line(error, redact), traceback=_traceback(error, redact))


def one_line(error: BaseException, redact: Callable[[str], str] = str) -> str:
    """`Type: message` on one line of bounded length. A secret is taken out before white space or length is touched."""
    text = redact(f"{type(error).__name__}: {_message(error)}")
    return shorten(" ".join(text.split()), ERROR_CHARACTERS)


def shorten(text: str, characters: int) -> str:
    """The text, its middle left out where it is longer than allowed."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]} … {len(text) - characters} characters left out … {text[-half:]}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"(its text cannot be had: {type(second).__name__})"


def _traceback(error: BaseException, redact: Callable[[str], str]) -> str:
    """From the first frame that is not the worker's own: readers look for theirs."""
    found = traceback.extract_tb(error.__traceback__)
    theirs = list(itertools.dropwhile(lambda frame: Path(frame.filename).parent == _OURS, found))
    frames = traceback.format_list((theirs or found)[-TRACEBACK_FRAMES:])
    causes = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        causes.append(f"Caused by {one_line(cause, redact)}\n")
    return shorten("".join([*causes, redact("".join(frames)), one_line(error, redact)]), TRACEBACK_CHARACTERS)
