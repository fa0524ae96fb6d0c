"""Reads the demo's databases: the table of tasks, the parking store, the grants. By plain SQL, not by our own code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumerd.demo.balance import Books
from consumerd.demo.grants import opened
from consumerd.demo.logins import Login, Poison
from consumerd.demo.workspace import TABLE, Workspace

BUSY_S = 10.0

Row = tuple[bytes, str]


def count_pending(workspace: Workspace) -> int:
    """How many tasks of the table are neither done nor parked."""
    with _opened(workspace.tasks) as tasks:
        (count,) = tasks.execute(f"SELECT count(*) FROM {TABLE} WHERE state NOT IN ('done', 'dead')").fetchone()
        return int(count)


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
        pending=count_pending(workspace),
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
