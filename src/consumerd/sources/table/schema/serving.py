"""Whether an index serves the claims on a table, by what EXPLAIN says of them. Runs in probes.

Planners read a small table as a whole, whatever indexes it has. So on PostgreSQL the claim is planned as workers plan
it, without scans and sorts where there is any other way; MySQL and MariaDB are told which index to use, and do so; and
SQLite goes by the indexes, not by how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from consumerd.database.dialects import BY_INDEX
from consumerd.database.sql import Statement, run
from consumerd.sources.table.found import FoundTable
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape
from consumerd.sources.table.statements import Statements


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a plan: in words; the index that it uses, or an empty text; whether it reads or sorts all rows."""

    told: str
    index: str
    is_of_all: bool


def unserved(connection: Connection, options: TableOptions, table: FoundTable, shape: Shape) -> str:
    """How the claims would be made, in the words of the database, where no index serves them; empty where one does.

    To be called in a transaction that is used for nothing else.
    """
    dialect = shape.dialect
    if dialect in BY_INDEX:
        connection.exec_driver_sql(BY_INDEX[dialect])
    explain, steps_of = _EXPLAINED[dialect]
    marks = options.indexes[0]
    for look in Statements(options, shape, None).claims.looks.claiming().looks:
        rows = run(connection, Statement(f"{explain} {look.text}", look.names), limit=1)
        steps = list(steps_of(rows))
        is_by_index = bool(shape.index) or any(table.has_in_index(step.index, *marks) for step in steps)
        if not is_by_index or any(step.is_of_all for step in steps):
            return ", ".join(step.told for step in steps)
    return ""


def _steps_of_mysql(rows: Any) -> Iterator[_Step]:  # a cursor's
    for row in rows.mappings():
        if row["type"] is not None:  # else the condition holds of no row at all
            extra = row["Extra"] or ""
            is_of_all = row["type"] in ("ALL", "index") or "filesort" in extra or "temporary" in extra
            told = " ".join(filter(None, (f"type {row['type']}", row["key"] and f"by {row['key']}", extra)))
            yield _Step(told, row["key"] or "", is_of_all)


def _steps_of_postgresql(rows: Any) -> Iterator[_Step]:  # a cursor's
    plans: list[Mapping[str, Any]] = [rows.scalar()[0]["Plan"]]
    while plans:
        plan = plans.pop()
        plans += plan.get("Plans", ())
        kind, index = plan["Node Type"], plan.get("Index Name", "")
        if index or "Relation Name" in plan or "Sort" in kind:
            yield _Step(f"{kind} by {index}" if index else kind, index, not index)


def _steps_of_sqlite(rows: Any) -> Iterator[_Step]:  # a cursor's
    for *_, told in rows:
        before, _, index = told.partition(" INDEX ")
        is_of_all = before.startswith("SCAN") or "TEMP B-TREE" in told
        yield _Step(told, index.rpartition(" (")[0] or index, is_of_all)


_EXPLAINED: Mapping[str, tuple[str, Callable[[Any], Iterator[_Step]]]] = {
    "sqlite": ("EXPLAIN QUERY PLAN", _steps_of_sqlite),
    "mysql": ("EXPLAIN", _steps_of_mysql),
    "postgresql": ("EXPLAIN (FORMAT JSON)", _steps_of_postgresql),
}
