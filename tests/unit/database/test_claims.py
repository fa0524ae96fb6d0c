"""The engine of claims: what it writes for each dialect. That it holds is tested with its tables, on their servers."""

from __future__ import annotations

import pytest

from consumerd.database.claims import ClaimedTable, Claims

JOBS = ClaimedTable(
    table="jobs",
    key="id",
    state="state",
    waiting="new",
    due="run_at",
    token="owner",
    claimed="running",
    index="ix_jobs_due",
    untried="{tries} = 0",
    more={"tries": "tries"},
)
TWO_COLUMNS = ClaimedTable(
    table="jobs", key="id", state="state", waiting="new", due="due", token="owner", until="until"
)


@pytest.mark.parametrize("dialect", ["mysql", "postgresql"])
def test_on_a_server_rows_are_chosen_by_its_clock_and_locked_ones_left_out(dialect: str) -> None:
    claims = Claims(JOBS, dialect)
    for candidates in claims.candidates:
        lapsed, waiting = (statement.text for statement in candidates)
        assert "'running'" in lapsed
        assert "'new'" in waiting
        assert lapsed.endswith("FOR UPDATE SKIP LOCKED")
        assert ("FORCE INDEX (ix_jobs_due)" in lapsed) == (dialect == "mysql")
        assert all(statement.names == ("limit",) for statement in candidates)


def test_sqlite_claims_with_one_statement_by_the_clock_of_its_process() -> None:
    claims = Claims(JOBS, "sqlite", lambda: 7.0)
    every, untried = claims.quick
    assert every.names == ("now", "seconds", "token", "now", "limit", "now", "limit", "limit")
    assert every.text.startswith('UPDATE "jobs" SET')
    assert untried.text.count('"tries" = 0') == 1


def test_the_end_of_a_claim_has_a_column_of_its_own_or_the_one_that_says_when_a_row_is_due() -> None:
    assert '"run_at" = ' in Claims(JOBS, "postgresql").free.text
    free = Claims(TWO_COLUMNS, "postgresql").free
    assert free.text == 'UPDATE "jobs" SET "until" = NULL, "owner" = NULL WHERE "id" = %s AND "owner" = %s'
    assert free.names == ("key", "token")


def test_the_parameters_of_many_rows_stand_in_the_order_of_their_statement() -> None:
    settled = Claims(TWO_COLUMNS, "sqlite", lambda: 7.0).settlement("{state} = 'done', {due} = :now")
    assert settled.rows(token=["t", "t"], key=[1, 2], now=[7.0, 7.0]) == [(7.0, 1, "t"), (7.0, 2, "t")]
