"""The engine of claims passes its suite on servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, make_url

from consumerd.database.claims import Claims
from consumerd.database.database import Database
from consumerd.database.server import ServerDatabase
from consumerd.errors import StoreAwayError
from contracts.claimed_rows import MINE, YOURS, ClaimsContract


class TestServers(ClaimsContract):
    @pytest.fixture
    def database(self, database_url: str) -> Iterator[Database]:
        database = ServerDatabase(make_url(database_url), StoreAwayError)
        yield database
        database.close()

    def test_who_gives_back_does_not_wait_for_the_rows_of_others(
        self, claims: Claims, database: Database, database_url: str
    ) -> None:
        others = ", ".join(f"(7, 'o{number}', 'old', 1)" for number in range(2000))  # the index is worth while
        insert = f"INSERT INTO jobs (region, id, state, due_at) VALUES {others}"
        database.write(lambda connection: connection.exec_driver_sql(insert))
        self.claimed(claims, database, MINE, 1)
        self.claimed(claims, database, YOURS, 2)
        starting = ServerDatabase(make_url(database_url), StoreAwayError)

        def settle(connection: Connection) -> int:
            settled = claims.settle(connection, claims.delete, [self.key("k1")], YOURS.owner)
            return settled + starting.write(lambda other: claims.release(other, "a#"))

        assert database.write(settle) == 2
        starting.close()
