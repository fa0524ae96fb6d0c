"""What the engine of claims must do on every database, as tests: subclass `ClaimsContract`, give it a `database`.

class TestMyDatabase(ClaimsContract):
    @pytest.fixture
    def database(self) -> Iterator[Database]: ...
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection

from consumerd.clock import wall
from consumerd.database.claims import ClaimedTable, Claims, Lease
from consumerd.database.database import Database

IN_DUE = ClaimedTable(
    table="jobs",
    key="id",
    state="state",
    waiting="new",
    claimed="taken",
    due="due_at",
    token="owner",
    index="ix_jobs",
    gives="{key}, {tries}",
    untried="{tries} = 0",
    more={"tries": "tries"},
)
IN_UNTIL = replace(IN_DUE, claimed="", until="ends")

MINE, YOURS, LAPSED = Lease("a#1/1", 60.0), Lease("b#1/1", 60.0), Lease("a#1/0", -1.0)


class ClaimsContract:
    """The suite. It makes a table `jobs`, which was not there."""

    @pytest.fixture(params=[IN_DUE, IN_UNTIL], ids=["the claim ends in due", "the claim ends in until"])
    def claims(self, request: pytest.FixtureRequest, database: Database) -> Claims:
        def make(connection: Connection) -> str:
            connection.exec_driver_sql(
                "CREATE TABLE jobs (id VARCHAR(36) PRIMARY KEY, state VARCHAR(9), due_at DOUBLE PRECISION, "
                "owner VARCHAR(99), ends DOUBLE PRECISION, tries INTEGER)"
            )
            connection.exec_driver_sql("CREATE INDEX ix_jobs ON jobs (state, due_at)")
            for number in range(4):
                row = f"('k{number}', 'new', {wall() - 100 + number}, {number % 2})"
                connection.exec_driver_sql(f"INSERT INTO jobs (id, state, due_at, tries) VALUES {row}")
            return connection.dialect.name

        dialect = database.write(make)
        return Claims(request.param, dialect, wall if dialect == "sqlite" else None)

    def claimed(self, claims: Claims, database: Database, lease: Lease, limit: int, **more: bool) -> list[str]:
        return [row[0] for row in database.write(partial(claims.claim, lease=lease, limit=limit, **more))]  # type: ignore[arg-type]  # is_untried alone

    def test_what_is_due_longest_is_claimed_first_and_once(self, claims: Claims, database: Database) -> None:
        assert sorted(self.claimed(claims, database, MINE, 3)) == ["k0", "k1", "k2"]
        assert database.read(claims.is_due)
        assert self.claimed(claims, database, YOURS, 3) == ["k3"]
        assert not database.read(claims.is_due)
        assert self.claimed(claims, database, YOURS, 3) == []

    def test_what_was_never_tried_can_be_claimed_alone(self, claims: Claims, database: Database) -> None:
        assert sorted(self.claimed(claims, database, MINE, 4, is_untried=True)) == ["k0", "k2"]

    def test_what_does_not_fit_is_left(self, claims: Claims, database: Database) -> None:
        rows = database.write(lambda connection: claims.claim(connection, MINE, 4, fitting=lambda found: found[:1]))
        assert [row[0] for row in rows] == ["k0"]
        assert len(self.claimed(claims, database, YOURS, 4)) == 3

    def test_a_claim_that_ran_out_is_anybodys_until_it_is_renewed(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, LAPSED, 2)
        assert database.write(lambda connection: claims.renew(connection, replace(LAPSED, seconds=60.0))) == 2
        assert self.claimed(claims, database, YOURS, 4) == ["k2", "k3"]

    def test_who_lost_its_claim_settles_nothing(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, LAPSED, 1)
        assert self.claimed(claims, database, YOURS, 1) == ["k0"]

        def settle(connection: Connection, lease: Lease) -> int:
            return claims.settle(connection, claims.delete, claims.delete.rows(key=["k0"], token=[lease.owner]))

        assert not database.write(lambda connection: claims.is_owned(connection, "k0", LAPSED.owner))
        assert database.write(partial(settle, lease=LAPSED)) == 0
        assert database.read(lambda connection: claims.is_claimed(connection, "k0"))
        assert database.write(lambda connection: claims.is_owned(connection, "k0", YOURS.owner))
        assert database.write(partial(settle, lease=YOURS)) == 1

    def test_a_settlement_sets_what_it_says(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, MINE, 2)
        done = claims.settlement("{state} = 'done', {token} = NULL, {tries} = :tries")
        rows = done.rows(key=["k0", "k1", "k2"], token=[MINE.owner] * 3, tries=[8, 9, 9])
        assert database.write(lambda connection: claims.settle(connection, done, rows)) == 2
        query = "SELECT id, tries FROM jobs WHERE state = 'done' ORDER BY id"
        found = database.read(lambda connection: connection.exec_driver_sql(query).all())
        assert [tuple(row) for row in found] == [("k0", 8), ("k1", 9)]

    def test_what_is_given_back_is_due_again(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, MINE, 2)
        self.claimed(claims, database, replace(MINE, owner="a#1/2"), 1)
        self.claimed(claims, database, YOURS, 1)
        assert database.write(lambda connection: claims.release(connection, "a#", ["a#1/2"])) == 2
        assert sorted(self.claimed(claims, database, YOURS, 4)) == ["k0", "k1"]
