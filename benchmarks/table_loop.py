"""The framework's loop over a claimed table against the same statements in a bare loop on the driver."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.brokers import database_server
from benchmarks.figures import Figure
from benchmarks.runs import paired

PAIRS = 5
ROWS = {"SQLite": 150_000, "MariaDB": 60_000, "PostgreSQL": 100_000}


def figures() -> Iterator[Figure]:
    """A SQLite file: claims and settlements in batches of 100, one transaction each, `synchronous=FULL`."""
    with tempfile.TemporaryDirectory() as folder:
        yield _figure("SQLite", str(Path(folder) / "tasks.sqlite"))


def server_figures() -> Iterator[Figure]:
    """The same on servers."""
    for name in ("MariaDB", "PostgreSQL"):
        with database_server(name) as server, server.fresh_database() as url:
            yield _figure(name, url)


def _figure(name: str, database: str) -> Figure:
    arguments = [database, str(ROWS[name]), "nothing"]
    return paired(f"{name} table, claims of 100", "benchmarks.table_run", arguments, pairs=PAIRS, bar=0.9)
