"""The directory to which relative paths are relative, looked up each time: a deploy may replace it.

Imports nothing heavy.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from consumerd.errors import UsageError


def working_directory() -> Path:
    """The current directory, by the name that the shell has for it: through a symbolic link that leads elsewhere later.

    UsageError where it was removed or replaced since it was entered.
    """
    named = os.environ.get("PWD", "")
    with suppress(OSError):
        if named.startswith("/") and Path(named).samefile("."):
            return Path(named)
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "the current directory was removed or replaced: change to one that is there, and try again"
        ) from error


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path, absolute. A relative one raises what `working_directory` raises."""
    return Path(path) if Path(path).is_absolute() else working_directory() / path


def enter(directory: Path) -> None:
    """Enter a directory by its name, where a deploy may have put another one. UsageError where there is none."""
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(
            f"the directory {directory}, in which the master was started, cannot be entered ({error.strerror}): "
            "make it anew, or restart the master elsewhere"
        ) from error
