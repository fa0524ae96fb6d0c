"""A glance at the embedded store: whether anything of a consumer is parked at all. Mostly nothing is.

An idle worker that only wants to know that must not pay for the store's machinery: using SQLAlchemy costs five
megabytes of memory of its own, in each worker, that were shared with its zygote until then.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

PATIENCE_S = 0.2


class Glance:
    """Looks at the file with a connection of the moment. Any thread may."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def has_nothing(self, consumer: str) -> bool:
        """True only when certain: there is no file yet, or no row of this consumer in it."""
        if not self._path.exists():
            return self._path.parent.is_dir()
        try:
            with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", timeout=PATIENCE_S, uri=True)) as database:
                found = database.execute("SELECT 1 FROM parked WHERE consumer = ? LIMIT 1", (consumer,)).fetchone()
        except sqlite3.Error:
            return False  # the store itself says what is wrong, to whoever needs it
        return found is None
