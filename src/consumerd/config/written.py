"""A configuration as somebody wrote it: plain data, and where it came from. Nothing of its shape is checked yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consumerd.config.problems import Problem


@dataclass(frozen=True, slots=True)
class Written:
    """A document's plain data, as far as it could be read.

    origin: the file, or `module:NAME`; directory: absolute; relative files and the consumers' modules are found there.
    data: None where nothing could be read; then `problems` says why.
    """

    origin: str
    directory: str
    data: Any  # plain data of any shape
    problems: tuple[Problem, ...] = ()


def unreadable(origin: str, directory: str, sentence: str, *, details: str = "") -> Written:
    """A document of which nothing could be read."""
    return Written(origin, directory, None, (Problem(origin, (), sentence, details),))
