"""How limits stand in the shared table: what the master defines, workers take of, and `status` shows.

A limit's own row is there from when it is defined. It has the numbers, and what is used where all tasks count together;
else each key has a row, with the numbers that held for it last. Some rows are *given* numbers of their own, by the
limits' helper.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.model.limits import Numbers
from consumerd.wire.shared_table import HELD, NEVER, Row, SharedTable

AT_ONCE, INTERVAL_NS, EVEN_NS, STARTED, GIVEN = range(5)
"""Shared words of each row: the numbers; when the next task would start, if all started evenly; how many have been
started; whether the row was given numbers of its own.
"""

ALL_AT_ONCE, ALL_INTERVAL_NS, ARE_GIVEN, UNTIL_NS, HOSTS = range(5, 10)
"""More of a limit's own row: the numbers of all rows that were given none; whether each has to be given some before a
task starts; until when they hold, 0: for ever; how many hosts share the limit, 0 where none do.
"""

FORGOTTEN, KEPT = 1, 2
"""What was given may be forgotten once the row is idle; or must not be."""

WAITING, WAITING_SINCE_NS, ASKED_NS = range(1, 4)
"""A holder's own words: how many tasks wait, since when the first does, and when it was refused last."""

_PLACELESS = 2**32
"""In WAITING of a limit's own row, a task whose key finds no row counts so much: no word is left for them."""

_KIND = "limit"


def row_name(limit: str, key: str | None = None) -> str:
    """The row of a limit, or of one key of it. The name of a limit has no space."""
    return f"{_KIND} {limit}" if key is None else f"{_KIND} {limit} {key}"


def define(
    table: SharedTable, limit: str, numbers: Numbers, *, are_given: bool = False, is_shared: bool = False
) -> bool:
    """Give a limit its numbers, from now on. False where it has no row, and none can be had now.

    are_given, is_shared: somebody else gives each row its numbers, or this host its part of them: until then nothing
    starts.
    """
    name = row_name(limit)
    if not (are_given or is_shared):
        _take_back(table, limit)
    if (row := table.find(name)) is not None:
        _define(row, numbers, are_given=are_given, is_shared=is_shared)  # each word by itself: nobody else writes them
        return True
    with table.changing(name) as row:
        if row is not None:
            row.idle_from(NEVER)
            _define(row, numbers, are_given=are_given, is_shared=is_shared)
        return row is not None


def _define(row: Row, numbers: Numbers, *, are_given: bool, is_shared: bool) -> None:
    words = row.words
    words[ARE_GIVEN] = are_given
    if is_shared:
        words[UNTIL_NS] = words[UNTIL_NS] or 1
    else:
        words[UNTIL_NS] = words[HOSTS] = 0
        set_for_all(row, numbers)


def _take_back(table: SharedTable, limit: str) -> None:
    """No row of this limit has numbers of its own any more."""
    for suffix, row in rows_of(table).get(limit, {}).items():
        if row.words[GIVEN]:
            row.words[GIVEN] = 0
            row.idle_from(0 if suffix else NEVER)


def give(table: SharedTable, limit: str, suffix: str, numbers: Numbers, how: int) -> Row | None:
    """Give a row numbers of its own, at once; the row, None where it cannot be had now.

    how: FORGOTTEN or KEPT; 0: from now on it has those of all.
    """
    with table.changing(f"{_KIND} {limit}{suffix}") as row:
        if row is None:
            return None
        set_numbers(row, numbers)
        row.words[GIVEN] = how
        if suffix:
            row.idle_from(NEVER if how == KEPT else row.words[EVEN_NS])
        return row


def rows_of(table: SharedTable) -> dict[str, dict[str, Row]]:
    """The rows of each limit, by what follows its name in theirs: nothing for its own, else a space and the key."""
    found: dict[str, dict[str, Row]] = {}
    for row in table.rows():
        kind, _, rest = row.name.partition(" ")
        if kind == _KIND:
            limit, space, key = rest.partition(" ")
            found.setdefault(limit, {})[space + key] = row
    return found


def held_of(row: Row) -> tuple[int, int]:
    """How many tasks run, and how many wait."""
    return sum(row.of_all(HELD)), waiting_of(row)[0]


def note_waiting(own: memoryview, count: int, since_ns: int, *, placeless: int = 0) -> None:
    """Write into a holder's own words how many of its tasks wait, since when the first does.

    placeless: beside these, in a limit's own row, how many wait whose keys have no row.
    """
    own[WAITING], own[WAITING_SINCE_NS] = count + _PLACELESS * placeless, since_ns


def waiting_of(row: Row) -> tuple[int, int]:
    """How many tasks wait, and how many beside these whose keys have no row."""
    placeless, waiting = divmod(sum(row.of_all(WAITING)), _PLACELESS)
    return waiting, placeless


def given_now(defined: Row, row: Row | None) -> Numbers:
    """The numbers that hold for a row, or would where there is none; whether or not something was started by them."""
    if row is not None and row.words[GIVEN]:
        return numbers_of(row)
    return Numbers(0) if defined.words[ARE_GIVEN] else for_all(defined)


def is_asked(row: Row, since_ns: int) -> bool:
    """Whether a task was refused since then."""
    return max(row.of_all(ASKED_NS)) > since_ns


def for_all(row: Row) -> Numbers:
    """As `set_for_all` has set them."""
    return Numbers(row.words[ALL_AT_ONCE], row.words[ALL_INTERVAL_NS])


def set_for_all(row: Row, numbers: Numbers) -> None:
    """The numbers of all rows of this limit that are given none of their own."""
    row.words[ALL_AT_ONCE], row.words[ALL_INTERVAL_NS] = numbers.at_once, numbers.interval_ns


def set_numbers(row: Row, numbers: Numbers) -> None:
    row.words[AT_ONCE], row.words[INTERVAL_NS] = numbers.at_once, numbers.interval_ns


def numbers_of(row: Row) -> Numbers:
    return Numbers(row.words[AT_ONCE], row.words[INTERVAL_NS])


def in_force(defined: Row, row: Row, now_ns: int) -> Numbers | None:
    """The numbers of a row, as its limit's own row, or whoever gives it some, has them; None: nothing may start now."""
    words = defined.words
    if words[UNTIL_NS] and now_ns >= words[UNTIL_NS]:
        return None
    if not row.words[GIVEN]:
        if words[ARE_GIVEN]:
            return None
        set_numbers(row, for_all(defined))
    return numbers_of(row)


@dataclass(frozen=True, slots=True)
class Use:
    """How a limit, or one key of it, is used.

    key: None: by tasks that have none. placeless: tasks that wait beside these, for keys that have no row.
    waiting_since_ns: on the monotonic clock; 0 where no task waits.
    """

    limit: str
    key: str | None
    numbers: Numbers
    running: int
    waiting: int
    placeless: int
    waiting_since_ns: int


def hosts_of(table: SharedTable, limit: str, now_ns: int) -> tuple[int, bool]:
    """How many hosts share a limit, 0 where none do; and whether nothing of it may start, since that is not known."""
    if (row := table.find(row_name(limit))) is None:
        return 0, False
    return row.words[HOSTS], 0 < row.words[UNTIL_NS] <= now_ns


def uses(table: SharedTable) -> list[Use]:
    """Of every limit that was defined, and of those of its keys that are in use, as they stand."""
    found = []
    for limit, rows in rows_of(table).items():
        for suffix, row in rows.items():
            running, waiting = held_of(row)
            _, placeless = waiting_of(row)
            if suffix and not running and not waiting:
                continue
            since_ns = min((at_ns for at_ns in row.of_all(WAITING_SINCE_NS) if at_ns), default=0)
            key = suffix[1:] if suffix else None
            numbers = given_now(rows.get("", row), row)
            found.append(Use(limit, key, numbers, running, waiting, placeless, since_ns))
    return found
