"""What `get_next_batch` returned, in pieces: a list, or an iterator that is read no further than is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice

from consumerd.errors import QueryFailedError

PIECE = 1_000
"""So many rows are judged at once, and so many of an iterator are held in memory."""

MOST_RELEASED = 100_000

_SCALARS = (str, bytes, bytearray, int, float, bool)


class Reading:
    """Reads one answer after the other. Raises QueryFailedError for what is no list of rows.

    returned: how many rows of the current answer were read.
    given: how many rows were read since that began, of a second answer as well.
    """

    def __init__(self, query: Callable[[], object]) -> None:
        self._query = query
        self._rows: Iterator[object] | None = None
        self._second: Iterator[object] | None = None
        self.returned = self.given = 0

    @property
    def is_at_end(self) -> bool:
        """Whether all rows of the current answer were read."""
        return self._rows is None

    def next_piece(self) -> list[object]:
        """The next rows of the current answer, or the first of a new one; nothing at its end."""
        if self._rows is None:
            self._rows = iter(rows_in(self._query()))
            self.returned = self.given = 0
        piece = list(islice(self._rows, PIECE))
        self.returned += len(piece)
        self.given += len(piece)
        if len(piece) < PIECE:
            self._rows = None
        return piece

    def ask_again(self) -> list[object]:
        """The first rows of another answer. What is behind them is forgotten, unless it is kept by `keep_second`."""
        self._second = iter(rows_in(self._query()))
        piece = list(islice(self._second, PIECE))
        self.given += len(piece)
        return piece

    def keep_second(self) -> None:
        """Read what is left of the second answer behind what is left of the first: it may not come again."""
        if self._second is not None:
            self._rows = chain(self._rows or (), self._second)
            self._second = None

    def rest(self) -> list[object]:
        """What was not read, as far as there is an end to it."""
        rows, self._rows = self._rows, None
        return list(islice(rows, MOST_RELEASED)) if rows is not None else []

    def drop(self) -> None:
        """Read the current answer no further."""
        self._rows = self._second = None


def rows_in(answer: object) -> Iterable[object]:
    """The rows in what the query returned."""
    if answer is None or answer is False:
        return ()
    if (what := _one_row(answer)) or not isinstance(answer, Iterable):
        what = what or f"{_article(type(answer).__name__)}, which is no list"
        raise QueryFailedError(f"get_next_batch returned {what}: return a list of rows, such as [row]")
    return answer


def _one_row(answer: object) -> str:
    """What an answer is that is one row, not a list of them; empty where it may be one."""
    name = _article(type(answer).__name__)
    if isinstance(answer, _SCALARS):
        return f"{name}, which is no list"
    is_mapping = isinstance(answer, Mapping) or hasattr(answer, "_mapping")
    is_drivers_row = hasattr(answer, "keys") and hasattr(answer, "__getitem__") and not hasattr(answer, "fetchall")
    if is_mapping or is_drivers_row or (isinstance(answer, tuple) and hasattr(answer, "_fields")):
        return f"{name}, which is one row"
    if isinstance(answer, tuple) and answer and all(_is_value(each) for each in answer):
        return "a tuple of values, which is one row"
    return ""


def _is_value(value: object) -> bool:
    return (
        value is None or isinstance(value, _SCALARS) or not (isinstance(value, Iterable) or hasattr(value, "__dict__"))
    )


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
