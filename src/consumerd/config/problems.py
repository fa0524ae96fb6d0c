"""A problem: one mistake in a configuration, where it is, and what to do about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from consumerd.errors import ConfigurationError

Path = tuple[str | int, ...]
"""A place in a document: keys, and indices in lists."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECRET_KEY = re.compile(r"pass|secret|token|credential|private|api_?key|parking|url|dsn", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(://[^/@\s:]*:)[^/@\s]+@")
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    origin: the file, or `module:NAME`; path: the place in it, empty for the whole; sentence: what is wrong, with the
    value where it helps, and the likely fix. It holds no secret. details: what `check --traceback` shows, many lines.
    """

    origin: str
    path: Path
    sentence: str
    details: str = ""

    def __str__(self) -> str:
        place = path_text(self.path)
        return f"{self.origin}: {place}: {self.sentence}" if place else f"{self.origin}: {self.sentence}"

    def redacted(self, redact: Callable[[str], str]) -> Problem:
        """The same without secrets."""
        return replace(self, sentence=redact(self.sentence), details=redact(self.details))

    def as_json(self) -> dict[str, str]:
        """What `--json` prints."""
        return {"origin": self.origin, "path": path_text(self.path), "problem": self.sentence}


class KeyMistakesError(ValueError):
    """What a model finds wrong with keys that it does not name itself: a sentence for each key."""

    def __init__(self, by_key: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"`{key}` {sentence}" for key, sentence in by_key.items()))
        self.by_key = by_key


def path_text(path: Path) -> str:
    """`group[0].configs.workers`; a key that is more than letters, digits, `_` and `-` is quoted, as in TOML."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else json.dumps(shortened(step), ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def in_document_order(problems: Iterable[Problem], top_level: Sequence[str]) -> list[Problem]:
    """Problems of a whole document by the entry that they are in; within one they keep their order."""
    ranks = {key: rank for rank, key in enumerate(top_level)}

    def rank(problem: Problem) -> tuple[int, int]:
        if not problem.path:
            return (-1, 0)
        index = problem.path[1] if len(problem.path) > 1 else -1
        return (ranks.get(str(problem.path[0]), len(ranks)), index if isinstance(index, int) else 0)

    return sorted(dict.fromkeys(problems), key=rank)


def shown(value: object, path: Path = ()) -> str:
    """A value for a sentence: as JSON, shortened, on one line; hidden where its key says that it is a secret."""
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    if isinstance(value, str) and _SECRET_KEY.search(key):
        return "a text that is not shown here"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "null"
    text = _URL_PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value
    return shortened(json.dumps(text, ensure_ascii=False, default=repr))


def shortened(text: str) -> str:
    """At most some sixty printable characters."""
    printable = "".join(character if character.isprintable() else "�" for character in text[: _LONGEST_VALUE + 1])
    return printable if len(text) <= _LONGEST_VALUE else printable[: _LONGEST_VALUE - 1] + "…"


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise ConfigurationError with one line for each problem; nothing where there is none."""
    lines = tuple(dict.fromkeys(str(problem) for problem in problems))
    if lines:
        raise ConfigurationError(lines)
