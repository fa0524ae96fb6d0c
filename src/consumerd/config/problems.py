"""A problem: one mistake in a configuration, where it is, and what to do about it. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from consumerd.config.masking import without_passwords
from consumerd.errors import ConfigurationError

KeyPath = tuple[str | int, ...]
"""Where something stands in a document, or in a table of it: keys, and indices in lists."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECRET_KEY = re.compile(r"pass|secret|token|credential|private|api_?key|parking|url|dsn", re.IGNORECASE)
_LONGEST_VALUE = 60
_LONGEST_WORD = 64

NEAR = 2
"""Words this many edits apart, or fewer, are taken for slips of the pen."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    origin: the file, or `module:NAME`.
    path: the place in it, empty for the whole.
    sentence: what is wrong, with the value where it helps, and the likely fix. It holds no secret.
    details: what `check --traceback` shows, many lines.
    """

    origin: str
    path: KeyPath
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


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a child process has found out about one consumer so far, for `check`.

    problems: what is wrong with it.
    source: the kind of its source; empty where the consumer cannot be loaded.
    remarks: what its class cannot guarantee, or does on its own; a sentence each.
    lag: how far each shard of its source is behind; the fields of `ShardLag`, printed as they are.
    away: why its source could not be asked for that; empty where it could, or was not to be asked.
    changes: what its table lacks; the fields of `Change`.
    answer: what its source has answered, where it was asked something else; plain data.
    """

    problems: tuple[Problem, ...] = ()
    source: str = ""
    remarks: tuple[str, ...] = ()
    lag: tuple[dict[str, Any], ...] = ()  # plain data
    away: str = ""
    changes: tuple[dict[str, Any], ...] = ()  # plain data
    answer: Mapping[str, Any] = field(default_factory=dict)


class KeyMistakesError(ValueError):
    """What a model finds wrong with keys that it does not name itself: a sentence for each key."""

    def __init__(self, by_key: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"`{key}` {sentence}" for key, sentence in by_key.items()))
        self.by_key = by_key


def path_text(path: KeyPath) -> str:
    """`group[0].configs.workers`; a key that is more than letters, digits, `_` and `-` is quoted, as in TOML."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else json.dumps(shortened(step), ensure_ascii=False)
            text += f".{key}" if text else key
    return text


def in_document_order(problems: Iterable[Problem], document: object, base: KeyPath = ()) -> list[Problem]:
    """Problems once each, in the order in which the document has what they are about; of a table as a whole first.

    document: the plain data that stands at the path `base`; what is wrong elsewhere comes first.
    """

    def rank(problem: Problem) -> tuple[int, ...]:
        if problem.path[: len(base)] != base:
            return ()
        ranks, value = [0], document
        for step in problem.path[len(base) :]:
            if isinstance(value, dict) and step in value:
                ranks.append(list(value).index(step))
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                ranks.append(step)
            else:
                return (*ranks, -1)  # it is missing, or within a text
            value = value[step]  # type: ignore[index]  # a key of the table, or an index in the list
        return tuple(ranks)

    return sorted(dict.fromkeys(problems), key=rank)


def shown(value: object, path: KeyPath = ()) -> str:
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
    text = without_passwords(value) if isinstance(value, str) else value
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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'workers'?`, or nothing."""
    found = nearest(word, known)
    return f"; did you mean '{found}'?" if found is not None else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is nearest to `word`, at most NEAR edits away, the first of equals; or None.

    Case and the choice between `-` and `_` cost nothing. In a short word fewer than half of its characters may
    differ: `db` is not meant for `id`. A word that is known is its own nearest.
    """
    if len(word) > _LONGEST_WORD:
        return None
    best: str | None = None
    best_distance = NEAR + 1
    for candidate in known:
        if abs(len(candidate) - len(word)) <= NEAR:
            distance = edit_distance(_folded(word), _folded(candidate))
            if distance < best_distance and 2 * distance < max(len(word), len(candidate)):
                best, best_distance = candidate, distance
    return best


def edit_distance(left: str, right: str) -> int:
    """How many characters must be inserted, deleted or replaced (Levenshtein). Two that are swapped count as two.

    Counting a swap once would take `brokers`, a key of Kafka's, for a slip in `workers`.
    """
    previous = list(range(len(right) + 1))
    for row, from_left in enumerate(left, start=1):
        current = [row]
        for column, from_right in enumerate(right, start=1):
            inserted, deleted = current[column - 1] + 1, previous[column] + 1
            current.append(min(inserted, deleted, previous[column - 1] + (from_left != from_right)))
        previous = current
    return previous[-1]


def _folded(word: str) -> str:
    return word.casefold().replace("-", "_")
