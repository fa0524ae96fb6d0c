"""Reads the demo's databases: the table of tasks, the parking store, the grants. By plain SQL, not by our own code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consumerd.demo.balance import Books
from consumerd.demo.grants import opened
from consumerd.demo.logins import Login, Poison
from consumerd.demo.workspace import TABLE, Workspace

BUSY_S = 10.0

Row = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class TableCounts:
    """What the table of tasks says. pending: neither done nor parked."""

    parked: int
    pending: int


def count_tasks(workspace: Workspace) -> TableCounts:
    """How the tasks stand in their table."""
    with _opened(workspace.tasks) as tasks:
        rows: list[tuple[str, int]] = tasks.execute(f"SELECT state, count(*) FROM {TABLE} GROUP BY state").fetchall()
    counts = dict(rows)
    parked = counts.get("dead", 0)
    return TableCounts(parked, sum(counts.values()) - counts.get("done", 0) - parked)


def read_books(
    workspace: Workspace, *, logins: tuple[Login, ...], poison: tuple[Poison, ...], killed_pids: frozenset[int]
) -> Books:
    """All that the balance needs."""
    with opened(workspace.grants) as grants:
        handled, read = grants.read_handled(), grants.read_grants()
    return Books(
        logins=logins,
        poison=poison,
        handled=handled,
        parked=_read_parked(workspace),
        grants=read,
        pending=count_tasks(workspace).pending,
        killed_pids=killed_pids,
    )


def _read_parked(workspace: Workspace) -> tuple[Row, ...]:
    """Payloads and errors; nothing where no task was ever parked."""
    if not workspace.state.parked_database.exists():
        return ()
    with _opened(workspace.state.parked_database) as store:
        rows: list[Row] = store.execute("SELECT payload, error FROM parked ORDER BY position, task_id").fetchall()
    return tuple(rows)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=BUSY_S)
    try:
        yield connection
    finally:
        connection.close()


def read_parked_key(workspace: Workspace, error: str) -> str | None:
    """The key of a parked task whose error has `error` in it, as people name it to `consumerd parked`."""
    if not workspace.state.parked_database.exists():
        return None
    with _opened(workspace.state.parked_database) as store:
        row = store.execute("SELECT id FROM parked WHERE instr(error, ?) LIMIT 1", (error,)).fetchone()
    return None if row is None else str(row[0])
