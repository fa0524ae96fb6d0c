"""The rows of destinations in the shared table: who finds them, and the words that each worker has in them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from consumerd.wire.destinations import WORDS, Destination, State
from consumerd.wire.shared_table import APART, Row, SharedTable

USED, PROBING, WAITING = range(3)
"""Words of each worker's own in a row: that it knows the row, that its probe is on its way, how many tasks wait."""


class Seen(NamedTuple):
    """A destination of a consumer, as its row had it when it was looked at.

    row: its name in the table. waiting: how many tasks wait in the hands of workers.
    """

    name: str
    row: str
    state: Destination
    is_probed: bool
    waiting: int


class DestinationCounts(NamedTuple):
    """Of a consumer: how many destinations are in each state, and how many tasks wait for one in workers' hands."""

    states: Mapping[State, int]
    waiting: int


def counts_by_consumer(table: SharedTable, now_ns: int) -> dict[str, DestinationCounts]:
    """By consumer; each row is looked at once."""
    found: dict[str, DestinationCounts] = {}
    for row in table.rows():
        kind, _, rest = row.name.partition(" ")
        if kind == APART:
            state, consumer = Destination.of(row.words).shown(now_ns), rest.partition(" ")[0]
            before = found.get(consumer, DestinationCounts(dict.fromkeys(State, 0), 0))
            states = {**before.states, state: before.states[state] + 1}
            found[consumer] = DestinationCounts(states, before.waiting + sum(row.of_all(WAITING)))
    return found


def prefix_of(consumer: str) -> str:
    """How the names of the rows of a consumer, `group/name`, begin; the destination's follows."""
    return f"{APART} {consumer} "


def seen(table: SharedTable, consumer: str) -> list[Seen]:
    """The destinations of a consumer, by name."""
    prefix = prefix_of(consumer)
    found = [row for row in table.rows() if row.name.startswith(prefix)]
    return sorted((_seen(row, prefix) for row in found), key=lambda each: each.name)


def _seen(row: Row, prefix: str) -> Seen:
    name = row.name
    waiting = sum(row.of_all(WAITING))
    return Seen(name.removeprefix(prefix), name, Destination.of(row.words), any(row.of_all(PROBING)), waiting)


@contextmanager
def changing(table: SharedTable, row_name: str) -> Iterator[tuple[Destination, Row] | None]:
    """The state, which is written back when the block ends; None where the row cannot be had now."""
    with table.changing(row_name) as row:
        if row is None:
            yield None
            return
        destination = Destination.of(row.words)
        yield destination, row
        row.words[:WORDS] = memoryview(array("Q", destination.words()))
