"""A configuration as somebody wrote it: plain data, whose shape is not checked yet. Imports nothing heavy.

Plain data is made of tables with text keys, lists, text, whole and finite numbers, booleans and null.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from consumerd.config.problems import KeyPath, Problem, shown
from consumerd.model.identity import is_unicode

DEEPEST = 32
LARGEST_INTEGER = 2**63 - 1

Found = Callable[[KeyPath, str], None]
"""Called with the path of each value that is not plain, and a sentence."""


@dataclass(frozen=True, slots=True)
class Written:
    """A document's plain data, as far as it could be read.

    origin: the file, or `module:NAME`.
    directory: absolute; relative files and the consumers' modules are looked for there.
    data: None where nothing could be read; then `problems` says why.
    """

    origin: str
    directory: str
    data: Any  # plain data of any shape
    problems: tuple[Problem, ...] = ()


def unreadable(origin: str, directory: str, sentence: str, *, details: str = "") -> Written:
    """A document of which nothing could be read."""
    return Written(origin, directory, None, (Problem(origin, (), sentence, details),))


def written(origin: str, directory: str, value: object) -> Written:
    """A document of this value; what of it is not plain is left out, and a problem."""
    found: list[Problem] = []
    data = plain(value, lambda path, sentence: found.append(Problem(origin, path, sentence)))
    return Written(origin, directory, data, tuple(found))


class Table(dict[str, Any]):  # values: whatever the document holds, until it is checked
    """A table as a JSON parser met it, which remembers the keys that stood there twice."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:  # as above
        pairs = list(pairs)
        super().__init__(pairs)
        seen: set[str] = set()
        self.repeated = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]


def plain(value: object, found: Found, path: KeyPath = ()) -> Any:  # the document, of any shape
    """A copy of `value` made of dict, list and scalars only; what cannot be copied is reported and left out."""
    if len(path) > DEEPEST:
        return found(path, f"nested more than {DEEPEST} levels deep: a configuration has no use for that")
    if isinstance(value, dict):
        return _plain_table(value, found, path)
    if isinstance(value, list | tuple):
        return [plain(item, found, (*path, index)) for index, item in enumerate(value)]
    complaint = _complaint(value, path)
    return value if complaint is None else found(path, complaint)


def _plain_table(table: dict[Any, Any], found: Found, path: KeyPath) -> dict[str, Any]:  # keys, values: not checked
    result = {}
    for key in getattr(table, "repeated", ()):
        found((*path, key), "stands twice in this table: remove one of the two")
    for key, value in table.items():
        if not isinstance(key, str) or not is_unicode(key):
            found(path, f"the key {shown(key)} is not text: a table's keys are text")
        else:
            result[str(key)] = plain(value, found, (*path, str(key)))
    return result


def _complaint(value: object, path: KeyPath) -> str | None:
    match value:
        case None | bool():
            return None
        case int():
            return None if abs(value) <= LARGEST_INTEGER else "a number of more than 64 bits: write it as text"
        case float():
            return None if math.isfinite(value) else f"{value} is not a number that can be used: write a finite one"
        case str():
            return "text that is not valid Unicode (half a surrogate pair)" if not is_unicode(value) else None
        case _:
            kind = type(value).__name__
            return f"a {kind} ({shown(repr(value), path)}) is not plain data: write text, a number, a list or a table"
