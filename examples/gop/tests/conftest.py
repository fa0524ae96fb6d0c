"""A database for each test: GOP's tables in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

SCHEMA = Path(__file__).parents[1] / "schema_sqlite.sql"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The file. `configs={"database": path}` gives it to a consumer."""
    file = str(tmp_path / "gop.sqlite")
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SCHEMA.read_text())
    return file


@pytest.fixture
def rows(path: str) -> Iterator[sqlite3.Connection]:
    """A connection to it, in autocommit, to put rows in and to look at them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection
