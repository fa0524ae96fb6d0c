"""A table whose rows are claimed, as the engine of claims is told of it, and the SQL that is made of its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from consumerd.database.dialects import AS_BYTES
from consumerd.database.sql import quoted, quoted_table, quoted_text


@dataclass(frozen=True, slots=True)
class ClaimedTable:
    """A table whose rows are claimed, and which of its columns say so. All names are as the table has them.

    table: its name; on servers perhaps `schema.name`.
    key: the columns that tell a row; unique together. A row without one of them is never claimed.
    state: what a row is.
    waiting: the state of a row that may be claimed.
    due: when a row that waits may be claimed.
    token: whose claim has the row; NULL where nobody's has.
    until: when that claim ends. Empty where the table has no column for it: then `due` says it, too.
    claimed: the state of a claimed row, where `due` says when its claim ends; else a claim leaves the state alone.
    index: the index on state and due; MySQL and MariaDB are told to use it, since where the choice is sorted, the first
    claimer locks every candidate.
    gives: what a claim gives of each row besides its key, in SQL with `{part}` for names.
    condition: what else must hold of a row, in the same SQL.
    untried: what holds of a row that was never tried, for claims of such rows alone.
    is_ordered: rows that are due at one time are claimed in the order of their keys; the index must give it.
    turns: the columns by whose values rows may be claimed, one value of each at a time.
    turn_index: the index on state, these and due.
    more: further parts that are columns.
    texts: further parts that are SQL.
    """

    table: str
    key: tuple[str, ...]
    state: str
    waiting: str
    due: str
    token: str
    until: str = ""
    claimed: str = ""
    index: str = ""
    gives: tuple[str, ...] = ()
    condition: str = "{has_key}"
    untried: str = "1 = 1"
    is_ordered: bool = False
    turns: tuple[str, ...] = ()
    turn_index: str = ""
    more: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Free:
    """Rows that may be claimed: what holds of them, in which order they are, and the part that names their index."""

    condition: str
    order: str
    hint: str = "hint"


@dataclass(frozen=True, slots=True)
class Marks:
    """How a claim is written into a row.

    taken: what a claim sets.
    freed: what is set where a claim is given back.
    ended: what is set where a claim ends now, as if its time were over.
    is_held: what holds of a row that somebody has claimed.
    lapsed: rows whose claim has ended, which come first; None where those that wait are the same rows.
    waiting: rows that nobody has claimed.
    """

    taken: str
    freed: str
    ended: str
    is_held: str
    lapsed: Free | None
    waiting: Free


_IN_UNTIL = Marks(
    taken="{until} = :now + :seconds, {token} = :token",
    freed="{until} = NULL, {token} = NULL",
    ended="{until} = :now",
    is_held="{token} IS NOT NULL",
    lapsed=None,
    waiting=Free("{state} = {waiting} AND {due} <= :now AND ({until} IS NULL OR {until} <= :now)", "{order}"),
)
_IN_DUE = Marks(
    taken="{state} = {claimed}, {due} = :now + :seconds, {token} = :token",
    freed="{state} = {waiting}, {due} = :now, {token} = NULL",
    ended="{due} = :now",
    is_held="{state} = {claimed} AND {due} IS NOT NULL",
    # Backwards: in front of those that have ended lie, in MySQL's index, all that were settled and not yet purged.
    lapsed=Free("{state} = {claimed} AND {due} <= :now", "{due} DESC"),
    waiting=Free("{state} = {waiting} AND {due} <= :now", "{order}"),
)


def marks_of(table: ClaimedTable) -> Marks:
    """How claims on this table are written."""
    return _IN_UNTIL if table.until else _IN_DUE


def in_turn(dialect: str, values: Sequence[str | None], since: str = "") -> Free:
    """Of rows that wait, those that have these values in the columns by which they take turns, in the order of `due`.

    values: each in SQL; None: NULL.
    since: the least `due`, in SQL; empty: there is none.
    """
    columns = [f"{{turn_{number}}}" for number in range(len(values))]
    terms = [
        f"{column} IS NULL" if value is None else f"{column} = {value}"
        for column, value in zip(columns, values, strict=True)
    ]
    last, value = columns[-1], values[-1]
    if dialect != "postgresql":
        terms.append("{due} <= :now" + f" AND {{due}} >= {since}" * bool(since))
        return Free(" AND ".join(terms), "{due}", "turn_hint")
    # Its planner takes no hint. By comparing rows of values the last column stays a part of the order, which then no
    # other index gives, such as that on state and due, by which it would pass all the rows of other values.
    if value is None:
        terms.append("{due} <= :now" + f" AND {{due}} >= {since}" * bool(since))
    else:
        least = f"({last}, {{due}}) >= ({value}, {since})" if since else f"{last} >= {value}"
        terms[-1] = f"{least} AND ({last}, {{due}}) <= ({value}, :now)"
    return Free(" AND ".join(terms), ", ".join([*columns, "{due}"]), "turn_hint")


def parts_of(table: ClaimedTable, dialect: str) -> dict[str, str]:
    """The parts of statements: the table's names, and the SQL that is made of them."""
    marks = marks_of(table)
    names = {"state": table.state, "due": table.due, "token": table.token, "until": table.until, **table.more}
    parts = {part: quoted(dialect, name) for part, name in names.items()} | {
        "table": quoted_table(dialect, table.table)
    }
    key = [quoted(dialect, column) for column in table.key]
    parts |= {"key": ", ".join(key), "has_key": " AND ".join(f"{column} IS NOT NULL" for column in key)}
    parts |= {name: quoted_text(dialect, getattr(table, name)) for name in ("waiting", "claimed")}
    parts |= {f"turn_{number}": quoted(dialect, column) for number, column in enumerate(table.turns)}
    parts |= table.texts
    parts |= {name: getattr(marks, name).format(**parts) for name in ("taken", "freed", "ended", "is_held")}
    parts |= {name: getattr(table, name).format(**parts) for name in ("condition", "untried")}
    parts["order"] = ", ".join([parts["due"], *(key if table.is_ordered else ())])
    parts["behind"] = _behind(dialect, parts["due"], key if table.is_ordered else [])
    parts["gives"] = ", ".join([*key, *(each.format(**parts) for each in table.gives)])
    lock = "" if dialect == "sqlite" else "FOR UPDATE"
    token_bytes = AS_BYTES[dialect].format(parts["token"])
    return parts | {
        "lock": lock,
        "skip_locked": lock and f"{lock} SKIP LOCKED",
        "hint": _hint(dialect, table.index),
        "turn_hint": _hint(dialect, table.turn_index),
        "token_bytes": token_bytes,
    }


def _behind(dialect: str, due: str, key: Sequence[str]) -> str:
    """What holds of a row that is due later than `:since`, or at that time with a greater key than `:after_…`.

    Without a key: of a row that is due at `:since` or later.

    MySQL and MariaDB use no index for a comparison of rows of values; for this one they go by two ranges of it.
    """
    if not key:
        return f"{due} >= :since"
    marks = [f":after_{place}" for place in range(len(key))]
    if dialect != "mysql":
        return f"({', '.join([due, *key])}) > ({', '.join([':since', *marks])})"
    behind = ""
    for column, mark in zip(reversed([due, *key]), reversed([":since", *marks]), strict=True):
        behind = f"({column} > {mark} OR {column} = {mark} AND {behind})" if behind else f"{column} > {mark}"
    return behind


def _hint(dialect: str, index: str) -> str:
    return f"FORCE INDEX ({quoted(dialect, index)})" if dialect == "mysql" and index else ""
