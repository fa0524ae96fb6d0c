"""What user code raised, for people: its last line, and its traceback. Imports nothing heavy."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

from consumerd.model.failure import one_line

_FROZEN = "<frozen importlib"


def last_line(error: BaseException, directory: str | Path) -> str:
    """`KeyError: 'x'`, on one line; with the place of what does not parse, its file relative to `directory`."""
    if not isinstance(error, SyntaxError) or error.filename is None:
        return one_line(error)
    line = f"{type(error).__name__}: {error.msg}"
    file, base = Path(error.filename), Path(directory).absolute()
    return f"{line} ({file.relative_to(base) if file.is_relative_to(base) else file}, line {error.lineno})"


def traceback_of(error: BaseException) -> str:
    """The traceback without the import system's own frames: the user has not written them."""
    raised = traceback.TracebackException.from_exception(error)
    _without_import_system(raised)
    return "".join(raised.format())


def _without_import_system(raised: traceback.TracebackException) -> None:
    own = importlib.__file__
    kept = [frame for frame in raised.stack if not frame.filename.startswith(_FROZEN) and frame.filename != own]
    raised.stack = traceback.StackSummary.from_list(kept)
    for other in (raised.__cause__, raised.__context__, *(raised.exceptions or ())):
        if other is not None:
            _without_import_system(other)
