"""A query's transactions in a SQLite file pass their suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.query_transactions import QueryTransactionsContract


class TestSQLite(QueryTransactionsContract):
    @pytest.fixture
    def database(self, state_dir: Path) -> str:
        return str(state_dir / "mails.sqlite")
