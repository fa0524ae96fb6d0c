"""Parked tasks by their error: how many failed alike, since when, and one of them to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from consumerd.database.database import Transact
from consumerd.parking.people.browsing import Item, ParkedFilter, walked
from consumerd.parking.people.folded_error import folded, kind_of, searchable
from consumerd.parking.records import handle_of, original

MOST_ERRORS = 500
"""So many errors are told apart; of all others, only the class of the exception."""
ROWS_A_PAGE = 1_000


@dataclass(slots=True)
class _Alike:
    """Tasks of one consumer that failed alike. handle: of the one that failed last."""

    handle: str
    last_at: float
    first_at: float
    tasks: int = 0


def by_error(read: Transact, chosen: ParkedFilter, most: int) -> tuple[Item, ...]:
    """The chosen tasks by consumer and error, the most frequent first; of `most`, those that failed last.

    Each page that is read is a transaction. An item has the error with `#` in the place of numbers and ids, how many
    `tasks` there are, when the first and the last of them had its last attempt, the handle of the last one, and a text
    by which `ParkedFilter.error` finds them.
    """
    return grouped(walked(read, chosen, most, ROWS_A_PAGE))


def grouped(pages: Iterable[Sequence[Row[Any]]]) -> tuple[Item, ...]:  # rows of the list, the last that failed first
    """What the items of these rows are."""
    groups: dict[tuple[str, str], _Alike] = {}
    for page in pages:
        for row in page:
            error = original(row.error)
            key = row.consumer, folded(error)
            if key not in groups and len(groups) >= MOST_ERRORS:
                key = row.consumer, kind_of(error)
            alike = groups.get(key)
            if alike is None:
                alike = groups[key] = _Alike(handle_of(row.id), row.last_at, row.last_at)
            alike.tasks += 1
            alike.first_at = row.last_at
    found = sorted(groups.items(), key=lambda each: (-each[1].tasks, each[0]))
    return tuple(_item(consumer, error, alike) for (consumer, error), alike in found)


def _item(consumer: str, error: str, alike: _Alike) -> Item:
    times = {"first_at": alike.first_at, "last_at": alike.last_at}
    return {
        "consumer": consumer,
        "error": error,
        "tasks": alike.tasks,
        **times,
        "handle": alike.handle,
        "search": searchable(error),
    }
