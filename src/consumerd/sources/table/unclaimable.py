"""Which rows of a claimed table nobody can ever claim, and why. Runs in workers and in probes.

A SQLite table is read window by window, since its columns hold values of any type. On a server columns have types, and
the index on state and due finds such rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from consumerd.database.claims import Claims
from consumerd.sources.table.batch import key_text
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape

FAR_S = 100 * 365 * 86_400.0
"""A row that is due later than that is due never: its time is in another unit."""
ROWS_A_LOOK = 50_000
"""A look reads so many rows of a SQLite table at most: it may keep millions that are done."""
MOST_LOOKS = 20
"""A probe looks at a million rows for some that can never be claimed; more would take too long."""
MOST_COUNTED = 10_000
"""On a server no more are counted of one kind."""
MOST_STATES = 20

Found = tuple[str, int, str]
"""Why, how many rows, and the key of one of them; empty where it has none."""


class Unclaimable(Protocol):
    """Looks for such rows, a piece of the table at a time."""

    def look(self, connection: Connection) -> bool:
        """Look at the next piece; false where it was the last one, after which the first follows."""

    def found(self) -> list[Found]:
        """What the looks so far have found."""


def look_for(options: TableOptions, shape: Shape, claims: Claims) -> Unclaimable:
    """How a table of this shape is looked at."""
    return _Index(options, shape, claims) if options.is_server else _Windows(options, claims)


def complaint_of(table: str, found: list[Found]) -> str:
    """How many can never be claimed and why, in one sentence; empty where there is none."""
    whys: dict[str, tuple[int, str]] = {}
    for why, rows, example in (each for each in found if each[1]):
        before, first = whys.get(why, (0, example))
        whys[why] = (before + rows, first)
    total = sum(rows for rows, _ in whys.values())
    if not total:
        return ""
    told = ", ".join(
        f"{rows} {why}" + (f" (id {example})" if example else "") for why, (rows, example) in sorted(whys.items())
    )
    return f"{total} {'row' if total == 1 else 'rows'} of {table} can never be claimed: {told}"


_IS_MEANT = "({due} IS NOT NULL OR lower(trim({state})) IN ({pending}, {claimed}))"
"""Of a row whose state is none of ours: it is no row that was put aside."""

_NEXT_ROWID = "SELECT min(_rowid_) FROM {table} WHERE _rowid_ > :rowid"
_IN_WINDOW = f"""
SELECT consumerd_why, count(*), min(consumerd_place), {{key}} FROM (
  SELECT {{key}}, _rowid_ AS consumerd_place, CASE
    WHEN {{state}} IN ({{done}}, {{dead}}) THEN NULL
    WHEN NOT ({{has_key}}) THEN 'without {{key_name}}'
    WHEN {{state}} IN ({{pending}}, {{claimed}}) THEN CASE
      WHEN {{due}} IS NULL THEN 'without {{due_name}}'
      WHEN typeof({{due}}) NOT IN ('integer', 'real') AND {{due}} GLOB '*[^0-9.]*' THEN 'whose {{due_name}} is a text'
      WHEN {{due}} > :now + {FAR_S} THEN 'whose {{due_name}} is no unix time in seconds' END
    WHEN {{state}} IS NULL THEN 'without {{state_name}}'
    WHEN {_IS_MEANT} THEN 'whose {{state_name}} is neither {{states_named}}' END AS consumerd_why
  FROM {{table}} WHERE _rowid_ > :after AND _rowid_ <= :last AND ({{where}}))
WHERE consumerd_why IS NOT NULL GROUP BY consumerd_why"""
"""The key is that of the row whose place was the least: so SQLite has it of what is not grouped by."""


class _Windows:
    """Reads one window of row numbers after the other."""

    def __init__(self, options: TableOptions, claims: Claims) -> None:
        self._claims = claims
        names = {part: name.replace("'", "''") for part, name in _names(options).items()}
        self._next_rowid, self._in_window = claims.write(_NEXT_ROWID), claims.write(_IN_WINDOW, **names)
        self._last_rowid = 0
        self._found: dict[int, list[Found]] = {}

    def look(self, connection: Connection) -> bool:
        (first,) = self._claims.run(connection, self._next_rowid, rowid=self._last_rowid).fetchone()
        window = None if first is None else (first - 1) // ROWS_A_LOOK
        seen_to = self._last_rowid // ROWS_A_LOOK
        for gone in [each for each in self._found if each >= seen_to and (window is None or each <= window)]:
            del self._found[gone]
        if window is None:
            self._last_rowid = 0
            return False
        start, self._last_rowid = window * ROWS_A_LOOK, (window + 1) * ROWS_A_LOOK
        counted = self._claims.run(connection, self._in_window, after=start, last=self._last_rowid)
        self._found[window] = [(why, rows, _told(key)) for why, rows, _, *key in counted]
        return True

    def found(self) -> list[Found]:
        return [each for window in self._found.values() for each in window]


_WITHOUT_DUE, _WITHOUT_STATE = "without {due_name}", "without {state_name}"
_TOO_LATE, _NEITHER = "whose {due_name} is no unix time in seconds", "whose {state_name} is neither {states_named}"

_STATES = f"""
WITH RECURSIVE found (state) AS (
  SELECT min({{state}}) FROM {{table}} WHERE {{state}} > ''
  UNION ALL SELECT (SELECT min({{state}}) FROM {{table}} WHERE {{state}} > found.state) FROM found
  WHERE found.state IS NOT NULL
) SELECT state FROM found WHERE state IS NOT NULL LIMIT {MOST_STATES}"""
"""The states that there are, by one look into the index for each."""

_ALWAYS_ASKED = {
    _WITHOUT_DUE: "{state} IN ({pending}, {claimed}) AND {due} IS NULL",
    _TOO_LATE: f"{{state}} = {{pending}} AND {{due}} > :now + {FAR_S}",
    _WITHOUT_STATE: "{state} IS NULL",
}
"""Why nobody can claim them, and which rows these are."""


class _Index:
    """Asks the index for rows without a time or with one too late, and for states that are no state of ours."""

    def __init__(self, options: TableOptions, shape: Shape, claims: Claims) -> None:
        self._claims = claims
        self._names = _names(options)
        states = options.states
        self._known = {states.pending, states.claimed, states.done, states.dead}
        self._has_text_states = shape.has_text_states
        self._states = claims.write(_STATES)
        self._questions = {
            why: (claims.write(_counting(rows)), claims.write(_first(rows)))
            for why, rows in (*_ALWAYS_ASKED.items(), (_NEITHER, f"{{state}} = :unknown AND {_IS_MEANT}"))
        }
        counts = ", ".join(f"({_counting(rows)})" for rows in _ALWAYS_ASKED.values())
        self._counts = claims.write(f"SELECT {counts}")
        self._found: list[Found] = []

    def look(self, connection: Connection) -> bool:
        counts = self._claims.run(connection, self._counts).fetchone()
        asked = [(why, "") for why, rows in zip(_ALWAYS_ASKED, counts, strict=True) if rows]
        asked += [(_NEITHER, state) for state in self._unknown(connection)]
        self._found = []
        for why, state in asked:
            counting, first = self._questions[why]
            (rows,) = self._claims.run(connection, counting, unknown=state).fetchone()
            if rows:
                example = self._claims.run(connection, first, unknown=state).fetchone()
                self._found.append((why.format(**self._names), rows, _told(example or ())))
        return False

    def found(self) -> list[Found]:
        return self._found

    def _unknown(self, connection: Connection) -> list[str]:
        """The states that are not ours."""
        if not self._has_text_states:
            return []
        states = self._claims.run(connection, self._states).fetchall()
        return [state for (state,) in states if state not in self._known]


def _counting(rows: str) -> str:
    return f"SELECT count(*) FROM ({_first(rows, MOST_COUNTED)}) AS found"


def _first(rows: str, limit: int = 1) -> str:
    return f"SELECT {{key}} FROM {{table}} WHERE {rows} AND ({{where}}) LIMIT {limit}"


def _told(key: Sequence[object]) -> str:
    """A key as people read it; empty where nothing of it is there."""
    has_some = any(part is not None for part in key)
    return key_text(tuple("NULL" if part is None else part for part in key)) if has_some else ""


def _names(options: TableOptions) -> dict[str, str]:
    """Names as people read them."""
    states = options.states
    return {
        "key_name": ", ".join(options.id_column),
        "due_name": options.due_column,
        "state_name": options.state_column,
        "states_named": f"{states.pending}, {states.claimed}, {states.done} nor {states.dead}",
    }
