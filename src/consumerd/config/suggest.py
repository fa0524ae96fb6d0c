"""Did you mean: the known word nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable

NEAR = 2
"""Words this many edits apart, or fewer, are taken for slips of the pen."""

_LONGEST_WORD = 64


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


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is nearest to `word`, at most NEAR edits away, the first of equals; or None.

    Case and the choice between `-` and `_` cost nothing. In a short word fewer than half of its characters may
    differ: `db` is not meant for `id`. A word that is known is its own nearest.
    """
    folded = _fold(word)
    if len(folded) > _LONGEST_WORD:
        return None
    best: str | None = None
    best_distance = NEAR + 1
    for candidate in known:
        if abs(len(candidate) - len(word)) > NEAR:
            continue
        distance = edit_distance(folded, _fold(candidate))
        if distance < best_distance and 2 * distance < max(len(word), len(candidate)):
            best, best_distance = candidate, distance
    return best


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'workers'?`, or nothing."""
    found = nearest(word, known)
    return f"; did you mean '{found}'?" if found is not None else ""


def _fold(word: str) -> str:
    return word.casefold().replace("-", "_")
