"""The engine of claims passes its suite on servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from consumerd.database.database import Database
from consumerd.database.server import ServerDatabase
from consumerd.errors import StoreAwayError
from contracts.claimed_rows import ClaimsContract


class TestServers(ClaimsContract):
    @pytest.fixture
    def database(self, database_url: str) -> Iterator[Database]:
        database = ServerDatabase(make_url(database_url), StoreAwayError)
        yield database
        database.close()
