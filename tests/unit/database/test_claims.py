"""The engine of claims on SQLite, and what it writes for servers, where `integration/test_claims.py` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.database.claims import Claims
from consumerd.database.database import Database
from consumerd.database.embedded import EmbeddedDatabase, EmbeddedFile
from consumerd.database.lock import FileLock
from consumerd.database.looks import Kind
from consumerd.errors import StoreAwayError
from contracts.claimed_rows import IN_DUE, ClaimsContract


class TestSQLite(ClaimsContract):
    @pytest.fixture
    def database(self, state_dir: Path) -> Iterator[Database]:
        lock = FileLock(state_dir / "jobs.lock")
        database = EmbeddedDatabase(EmbeddedFile(state_dir / "jobs.sqlite", is_created=True), lock, StoreAwayError)
        yield database
        database.close()
        lock.close()


@pytest.mark.parametrize("dialect", ["mysql", "postgresql"])
def test_on_a_server_rows_are_chosen_by_its_clock_and_locked_ones_left_out(dialect: str) -> None:
    claiming = Claims(IN_DUE, dialect).looks.claiming()
    assert (claiming.quick is None) == (dialect == "mysql")
    lapsed, waiting = (statement.text for statement in claiming.looks)
    assert "'taken'" in lapsed
    assert "'new'" in waiting
    assert lapsed.endswith("FOR UPDATE SKIP LOCKED")
    assert ("FORCE INDEX (`ix_jobs`)" in lapsed) == (dialect == "mysql")
    assert all(statement.names == ("limit",) for statement in claiming.looks)


def test_sqlite_claims_with_one_statement_by_the_clock_of_its_process() -> None:
    claims = Claims(IN_DUE, "sqlite", lambda: 7.0)
    every, untried = claims.looks.claiming().quick, claims.looks.claiming(Kind(is_untried=True)).quick
    assert every is not None
    assert untried is not None
    assert every.names == ("now", "seconds", "token", "now", "limit", "now", "limit", "limit")
    assert untried.text.count('"tries" = 0') == 1
