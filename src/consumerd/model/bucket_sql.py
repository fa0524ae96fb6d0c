"""The bucket of a key in SQL, on each database as `model.shards` has it in Python. Pure.

A key is hashed as its text in UTF-8, as its driver gives it. No `%` or `:` is in the SQL, which drivers would take for
the place of a value.
"""

from __future__ import annotations

from collections.abc import Sequence

SQLITE_FUNCTION = "consumerd_bucket"
"""SQLite has no hash: a connection is given one by `Shard.teach`."""

_HEX_DIGITS = {
    "mysql": "LEFT(SHA2(COALESCE(CONVERT({column} USING utf8mb4), ''), 256), 3)",
    "postgresql": "LEFT(ENCODE(SHA256(CONVERT_TO(CONCAT({column}), 'UTF8')), 'hex'), 3)",
}
"""The first three hexadecimal digits of the hash: the bucket. CONCAT keeps the blanks of a CHAR, as drivers do."""

_DIALECTS = {"mariadb": "mysql", "mysql": "mysql", "postgres": "postgresql", "postgresql": "postgresql"}


def dialect_of(database: object) -> str:
    """The dialect of what a key `database` holds, `mysql`, `postgresql` or `sqlite`; empty where that is not known."""
    if not isinstance(database, str) or not database:
        return ""
    scheme, found, _ = database.partition("://")
    name = scheme.partition("+")[0]
    return "sqlite" if not found or name == "sqlite" else _DIALECTS.get(name, "")


def condition(column: object, ranges: Sequence[range], dialect: str) -> str:
    """What holds of rows whose key in this column, which is SQL, hashes into the ranges. ValueError for other dialects.

    A row without a key is of one bucket, too.
    """
    name = _DIALECTS.get(dialect, dialect)
    if name == "sqlite":
        bucket, digits = f"{SQLITE_FUNCTION}({column})", "{}"
    elif name in _HEX_DIGITS:
        bucket, digits = _HEX_DIGITS[name].format(column=column), "'{:03x}'"
    else:
        raise ValueError(
            f"self.shard.condition(column, dialect) knows mysql, postgresql and sqlite, not {dialect!r}: name the "
            "dialect, or set the key `database`"
        )
    parts = [f"{bucket} BETWEEN {digits.format(each.start)} AND {digits.format(each.stop - 1)}" for each in ranges]
    return f"({' OR '.join(parts)})" if parts else "(1 = 0)"
