"""What is said of an error: one line, and a traceback, both short and without secrets; of a refusal, what to do.

An exception of the user's may be hostile: its `__str__` raises, or answers a hundred megabytes.
"""

from __future__ import annotations

import errno
import itertools
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType

ERROR_CHARACTERS = 1_000
TRACEBACK_CHARACTERS = 32_000
TRACEBACK_FRAMES = 40
CHAIN_LENGTH = 10
"""So many errors are told of a chain of causes: the last ones."""
GROUP_SIZE = 10
"""So many errors are told of a group: the first ones."""
GROUP_DEPTH = 4

# As Python has them: a class of the user's may have put properties that raise, or nothing that can be set, before them.
_TRACEBACK = vars(BaseException)["__traceback__"]
_CAUSE = vars(BaseException)["__cause__"]
_CONTEXT = vars(BaseException)["__context__"]
_IS_SUPPRESSED = vars(BaseException)["__suppress_context__"]
_EXCEPTIONS = vars(BaseExceptionGroup)["exceptions"]

_ADVICE = {
    errno.EMFILE: "raise the limit on open files (ulimit -n, LimitNOFILE)",
    errno.ENFILE: "raise the machine's limit on open files (fs.file-max)",
    errno.EAGAIN: "raise the limit on processes (ulimit -u, TasksMax, the container's limit on pids)",
    errno.ENOMEM: "give the machine or the container more memory",
    errno.ENOENT: "put back what was removed, or restart the master",
}

_OURS = Path(__file__).parent.with_name("worker")

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. error: one line; traceback: several, empty where nothing was raised; log: the last lines
    that its handler logged.
    """

    error: str
    traceback: str = ""
    log: str = ""


def describe(error: BaseException, redact: Redact) -> Failure:
    """The failure that an exception tells of."""
    line = "an error whose text cannot be had"
    try:
        line = one_line(error, redact)
        told = "".join(_told(error, redact, GROUP_DEPTH))
    except BaseException as second:  # noqa: BLE001 - an exception of the user's: each of its attributes may raise
        told = f"{line}\n(its traceback cannot be had: {type(second).__name__})"
    return Failure(error=line, traceback=shorten(told.rstrip(), TRACEBACK_CHARACTERS))


def drop_tracebacks(error: BaseException) -> None:
    """Let an error and its causes forget where they were raised. A frame that holds its own error is a cycle, and all
    that it holds besides, the record and what the handler made of it, would wait for the garbage collector.

    The frames themselves are left alone: one of them may be a coroutine that goes on.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            _TRACEBACK.__set__(each, None)
            pending += (_CAUSE.__get__(each), _CONTEXT.__get__(each), *_members(each))


def place_of(error: BaseException) -> str:
    """Where it was raised: the file and line of each frame that is not the worker's own."""
    trace = _theirs(_TRACEBACK.__get__(error))
    return " ".join(f"{frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(trace))


def one_line(error: BaseException, redact: Redact = str) -> str:
    """`Type: message` on one line of bounded length, for a group with the errors in it.

    A secret is taken out before white space or length is touched.
    """
    text = _line(error, redact)
    leaves = itertools.islice(_leaves(error, GROUP_DEPTH), GROUP_SIZE) if _members(error) else ()
    return shorten("; ".join([text, *(_line(leaf, redact) for leaf in leaves)]), ERROR_CHARACTERS)


def shorten(text: str, characters: int) -> str:
    """The text, its middle left out where it is longer than allowed."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]} … {len(text) - characters} characters left out … {text[-half:]}"


def refusal(error: OSError) -> str:
    """One sentence for an error with which the system refused something."""
    what = error.strerror or str(error)
    named = f"{what}: {error.filename}" if error.filename is not None else what
    advice = _ADVICE.get(error.errno or 0)
    return f"the system refuses it ({named})" + (f": {advice}" if advice else "")


def _line(error: BaseException, redact: Redact) -> str:
    text = shorten(redact(f"{type(error).__name__}: {_text(error, _place_of)}"), 4 * ERROR_CHARACTERS)
    return shorten(" ".join(text.split()), ERROR_CHARACTERS)


def _text(value: object, more: Callable[[object], str] = lambda value: "") -> str:
    try:
        return f"{value}{more(value)}"
    except BaseException as second:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"(its text cannot be had: {type(second).__name__})"


def _place_of(error: object) -> str:
    """Where a module was found that lacks what was looked for: it may stand in the place of another of its name."""
    module: object = None
    match error:
        case AttributeError(obj=ModuleType() as module):
            pass
        case ModuleNotFoundError(name=str(name)):
            module = sys.modules.get(name.rpartition(".")[0])
    file = getattr(module, "__file__", None)
    return f" ({module.__name__} is {file})" if isinstance(module, ModuleType) and file else ""


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return tuple(_EXCEPTIONS.__get__(error)) if issubclass(type(error), BaseExceptionGroup) else ()


def _leaves(error: BaseException, depth: int) -> Iterator[BaseException]:
    """The errors in a group that are no groups themselves, and the groups that are too deep."""
    members = _members(error)
    if not members or depth == 0:
        yield error
    for member in members if depth else ():
        yield from _leaves(member, depth - 1)


def _told(error: BaseException, redact: Redact, depth: int) -> Iterator[str]:
    """An error after its causes, as Python prints it: each with its frames, its notes, and the errors in it."""
    for each in reversed(list(itertools.islice(_chain(error), CHAIN_LENGTH))):
        yield redact("".join(_frames(_TRACEBACK.__get__(each))))
        yield f"{_line(each, redact)}\n"
        for note in _notes(each):
            yield f"{shorten(redact(_text(note)), ERROR_CHARACTERS)}\n"
        members = _members(each) if depth else ()
        for number, member in enumerate(members[:GROUP_SIZE], 1):
            yield f"  {number} of {len(members)} in it:\n"
            yield textwrap.indent("".join(_told(member, redact, depth - 1)), "    ")
        if each is not error:
            yield "\nwhich led to:\n\n"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that: each once."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = cause_of(each)


def cause_of(error: BaseException) -> BaseException | None:
    """What an error was raised for, as Python tells it."""
    cause, is_suppressed = _CAUSE.__get__(error), _IS_SUPPRESSED.__get__(error)
    found: BaseException | None = cause if cause is not None or is_suppressed else _CONTEXT.__get__(error)
    return found


def _frames(trace: TracebackType | None) -> Iterable[str]:
    """The last ones, from the first that is not the worker's own: readers look for theirs."""
    return traceback.format_list(traceback.extract_tb(_theirs(trace) or trace, limit=-TRACEBACK_FRAMES))


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and _OURS in Path(trace.tb_frame.f_code.co_filename).parents:
        trace = trace.tb_next
    return trace


def _notes(error: BaseException) -> list[object]:
    """What `add_note` was given, where nobody has put another thing in its place."""
    notes = getattr(error, "__notes__", None)
    return notes[:GROUP_SIZE] if isinstance(notes, list) else []
