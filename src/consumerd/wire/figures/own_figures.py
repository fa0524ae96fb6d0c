"""What a consumer's own code counts, on the board of its worker: each figure by a key, and its value.

The key is the JSON of what the figure is: its type, the metric's name, its own name, its labels, the help, and of a
gauge how those of several workers become one. A worker appends keys, and writes values; whoever reads believes what
stands before the first key that is not there yet.

word 0 how many bytes are used · then, one after the other: the length of a key · the key, to the next word · its value
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from consumerd.wire.board import OWN_AT_BYTE, STACKS_AT_BYTE


def own_part(words: memoryview) -> memoryview:
    """Of a board's words, as bytes."""
    return words.cast("B")[OWN_AT_BYTE:STACKS_AT_BYTE]


Figures = Mapping[str, float]
"""Values by their keys."""


class FiguresWriter:
    """Writes one worker's; one thread at a time."""

    def __init__(self, board: memoryview) -> None:
        """board: its words."""
        self._bytes = own_part(board)
        self._words, self._values = self._bytes.cast("Q"), self._bytes.cast("d")
        self._places: dict[str, int] = {}
        self._used = 8
        self._words[0] = self._used

    def place(self, key: str) -> int | None:
        """Where the value of this key stands, which is 0 when it is new; None where there is no room for it."""
        if key in self._places:
            return self._places[key]
        text = key.encode("utf-8", "replace")
        at, value_at = self._used, self._used + 8 + _whole_words(len(text))
        if value_at + 8 > len(self._bytes):
            return None
        self._words[at // 8] = len(text)
        self._bytes[at + 8 : at + 8 + len(text)] = text
        self._values[value_at // 8] = 0.0
        self._used = value_at + 8
        self._words[0] = self._used  # last: who reads finds all of it, or nothing
        self._places[key] = value_at // 8
        return self._places[key]

    def write(self, place: int, value: float) -> None:
        self._values[place] = value


def figures_in(board: memoryview) -> dict[str, float]:
    """As a board, by its words, has them now; as far as it holds no nonsense."""
    memory = own_part(board)
    words, values, found, at = memory.cast("Q"), memory.cast("d"), dict[str, float](), 8
    used = min(words[0], len(memory))
    while at + 16 <= used:
        size = words[at // 8]
        value_at = at + 8 + _whole_words(size)
        if value_at + 8 > used:
            break
        found[bytes(memory[at + 8 : at + 8 + size]).decode("utf-8", "replace")] = values[value_at // 8]
        at = value_at + 8
    return found


def lasting(figures: Figures) -> dict[str, float]:
    """Without gauges: what stays true of a worker that is gone."""
    return {key: value for key, value in figures.items() if not _is_gauge(key)}


def together(workers: Iterable[Figures]) -> dict[str, float]:
    """Of several workers as one: sums, and of gauges that say so the largest or the smallest."""
    found: dict[str, float] = {}
    for figures in workers:
        for key, value in figures.items():
            if key not in found:
                found[key] = value
            elif _is_gauge(key) and (mode := json.loads(key)[-1]).endswith(("max", "min")):
                found[key] = max(found[key], value) if mode.endswith("max") else min(found[key], value)
            else:
                found[key] += value
    return found


def _is_gauge(key: str) -> bool:
    return key.startswith('["gauge"')


def _whole_words(size: int) -> int:
    return -(-size // 8) * 8
