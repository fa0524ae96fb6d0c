"""A query's transactions on servers pass their suite."""

from __future__ import annotations

import pytest

from contracts.query_transactions import QueryTransactionsContract


class TestServers(QueryTransactionsContract):
    @pytest.fixture
    def database(self, database_url: str) -> str:
        return database_url
