"""The framework's loop over a claimed SQLite table against the same statements in a bare loop on `sqlite3`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.runs import paired

PAIRS = 7
ROWS = 150_000


def figures() -> Iterator[Figure]:
    """Claims and settlements in batches of 100, one transaction each, `synchronous=FULL`."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(Path(folder)), str(ROWS), "nothing"]
        yield paired("SQLite table, claims of 100", "benchmarks.sqlite_run", arguments, pairs=PAIRS, bar=0.9)
