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
from consumerd.database.claimed_table import ClaimedTable
from consumerd.database.claims import ClaimedRow, Claims, Lease, Place
from consumerd.database.database import Database

IN_DUE = ClaimedTable(
    table="jobs",
    key=("id",),
    state="state",
    waiting="new",
    claimed="taken",
    due="due_at",
    token="owner",
    index="ix_jobs",
    gives=("{tries}",),
    untried="{tries} = 0",
    turns=("urgency", "tenant"),
    turn_index="ix_turns",
    more={"tries": "tries"},
)
IN_UNTIL = replace(IN_DUE, claimed="", until="ends")
BY_TWO_COLUMNS = replace(IN_DUE, key=("region", "id"))

MINE, YOURS, LAPSED = Lease("a#1/1", 60.0), Lease("b#1/1", 60.0), Lease("a#1/0", -1.0)


class ClaimsContract:
    """The suite. It makes a table `jobs`, which was not there."""

    @pytest.fixture(
        params=[IN_DUE, IN_UNTIL, BY_TWO_COLUMNS], ids=["the claim ends in due", "… in until", "a key of two columns"]
    )
    def claims(self, request: pytest.FixtureRequest, database: Database) -> Claims:
        self._is_by_two, self._is_in_until = request.param is BY_TWO_COLUMNS, request.param is IN_UNTIL

        def make(connection: Connection) -> str:
            connection.exec_driver_sql(
                "CREATE TABLE jobs (region INTEGER, id VARCHAR(36), state VARCHAR(9), due_at DOUBLE PRECISION, "
                "owner VARCHAR(99), ends DOUBLE PRECISION, tries INTEGER, "
                "urgency INTEGER, tenant VARCHAR(9), PRIMARY KEY (id, region))"
            )
            connection.exec_driver_sql("CREATE INDEX ix_jobs ON jobs (state, due_at)")
            connection.exec_driver_sql("CREATE INDEX ix_turns ON jobs (state, urgency, tenant, due_at)")
            for number, tenant in enumerate(("'a'", "'b'", "NULL", "'b'")):
                row = f"(7, 'k{number}', 'new', {wall() - 100 + number}, {number % 2}, 1, {tenant})"
                connection.exec_driver_sql(
                    f"INSERT INTO jobs (region, id, state, due_at, tries, urgency, tenant) VALUES {row}"
                )
            return connection.dialect.name

        dialect = database.write(make)
        self._table: ClaimedTable = request.param
        self._where = (dialect, wall if dialect == "sqlite" else None)
        return Claims(self._table, *self._where)

    def claimed(self, claims: Claims, database: Database, lease: Lease, limit: int, **more: object) -> list[str]:
        rows = database.write(partial(claims.claim, lease=lease, limit=limit, **more))  # type: ignore[arg-type]
        return [row[1] if self._is_by_two else row[0] for row in rows]

    def key(self, name: str) -> object:
        """The key of a row."""
        return (7, name) if self._is_by_two else name

    def since(self, seconds: float) -> Place:
        """From where on a claim of rows looks that are due for so long; where the table gives keys no order."""
        return Place(wall() - seconds, self.key("k9"))

    def test_what_is_due_longest_is_claimed_first_and_once(self, claims: Claims, database: Database) -> None:
        assert sorted(self.claimed(claims, database, MINE, 3)) == ["k0", "k1", "k2"]
        assert database.read(claims.is_due)
        assert self.claimed(claims, database, YOURS, 3) == ["k3"]
        assert not database.read(claims.is_due)
        assert self.claimed(claims, database, YOURS, 3) == []

    def test_what_was_never_tried_can_be_claimed_alone(self, claims: Claims, database: Database) -> None:
        assert sorted(self.claimed(claims, database, MINE, 4, is_untried=True)) == ["k0", "k2"]

    def test_a_claim_may_begin_at_a_time(self, claims: Claims, database: Database) -> None:
        assert self.claimed(claims, database, MINE, 4, since=self.since(98.5)) == ["k2", "k3"]
        assert sorted(self.claimed(claims, database, YOURS, 4)) == ["k0", "k1"]

    def test_where_keys_give_an_order_a_claim_begins_behind_a_row(self, claims: Claims, database: Database) -> None:
        at = wall() - 50
        for statement in (
            "CREATE INDEX ix_keys ON jobs (state, due_at, id, region)",
            f"UPDATE jobs SET due_at = {at!r}",
        ):
            database.write(lambda connection, text=statement: connection.exec_driver_sql(text))  # type: ignore[misc]
        key = ("id", "region") if self._is_by_two else ("id",)
        ordered = Claims(replace(self._table, key=key, index="ix_keys", is_ordered=True), *self._where)
        behind = Place(at, ("k1", 7) if self._is_by_two else "k1")
        rows = database.write(partial(ordered.claim, lease=MINE, limit=9, since=behind))
        assert [row[0] for row in rows] == ["k2", "k3"]

    def test_rows_of_one_value_are_claimed_alone_but_for_claims_that_ran_out(
        self, claims: Claims, database: Database
    ) -> None:
        def turn(tenant: str | None, **more: object) -> list[str]:
            claim = partial(claims.claim, lease=MINE, limit=4, turn=(1, tenant), **more)
            return [row[1] if self._is_by_two else row[0] for row in database.write(claim)]

        self.claimed(claims, database, LAPSED, 1)
        assert turn("b", since=self.since(98), has_lapsed=False) == ["k3"]
        assert sorted(turn("b")) == (["k1"] if self._is_in_until else ["k0", "k1"])
        assert (turn("b"), turn(None, is_untried=True)) == ([], ["k2"])

    def test_what_does_not_fit_is_left(self, claims: Claims, database: Database) -> None:
        rows = database.write(lambda connection: claims.claim(connection, MINE, 4, fitting=lambda found: found[:1]))
        assert [claims.key_of(row) for row in rows] == [self.key("k0")]
        assert len(self.claimed(claims, database, YOURS, 4)) == 3

    def test_a_claim_that_ran_out_is_anybodys_until_it_is_renewed(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, LAPSED, 2)
        assert database.write(lambda connection: claims.renew(connection, replace(LAPSED, seconds=60.0))) == 2
        assert self.claimed(claims, database, YOURS, 4) == ["k2", "k3"]

    def test_claims_on_some_rows_are_renewed_alone(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, LAPSED, 2)
        renewed = replace(LAPSED, seconds=60.0)
        keys = [self.key("k0"), self.key("k3")]
        assert database.write(lambda connection: claims.renew_among(connection, renewed, keys)) == 1
        assert self.claimed(claims, database, YOURS, 1) == ["k1"]

    def test_who_lost_its_claim_settles_nothing(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, LAPSED, 1)
        assert self.claimed(claims, database, YOURS, 1) == ["k0"]

        def settle(connection: Connection, lease: Lease) -> int:
            return claims.settle(connection, claims.delete, [key], lease.owner)

        key = self.key("k0")
        assert not database.write(lambda connection: claims.is_owned(connection, key, LAPSED.owner))
        assert database.write(partial(settle, lease=LAPSED)) == 0
        assert database.read(lambda connection: claims.claimed_among(connection, [key, self.key("k1")])) == 1
        assert database.write(lambda connection: claims.is_owned(connection, key, YOURS.owner))
        assert database.write(partial(settle, lease=YOURS)) == 1

    def test_a_settlement_sets_what_it_says(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, MINE, 2)
        done = claims.settlement("{state} = 'done', {token} = NULL, {tries} = :tries")
        keys = [*map(self.key, ("k0", "k1", "k2")), *(self.key(f"none{number}") for number in range(600))]
        assert database.write(lambda connection: claims.settle(connection, done, keys, MINE.owner, tries=8)) == 2
        query = "SELECT id, tries FROM jobs WHERE state = 'done' ORDER BY id"
        found = database.read(lambda connection: connection.exec_driver_sql(query).all())
        assert [tuple(row) for row in found] == [("k0", 8), ("k1", 8)]

    def test_what_is_given_back_is_due_again(self, claims: Claims, database: Database) -> None:
        self.claimed(claims, database, MINE, 2)
        self.claimed(claims, database, replace(MINE, owner="a#1/2"), 1)
        self.claimed(claims, database, YOURS, 1)
        assert database.write(lambda connection: claims.release(connection, "a#", ["a#1/2"])) == 2
        assert sorted(self.claimed(claims, database, YOURS, 4)) == ["k0", "k1"]

    def test_rows_that_are_not_found_by_their_key_are_not_claimed(self, claims: Claims, database: Database) -> None:
        def other(rows: list[ClaimedRow]) -> list[ClaimedRow]:
            return [[*(f"{part}0" if isinstance(part, str) else part for part in rows[0])]]

        with pytest.raises(Exception, match=r"rows of jobs cannot be found by their key \(0 of 1 were\)"):
            database.write(lambda connection: claims.claim(connection, MINE, 4, fitting=other))
        assert len(self.claimed(claims, database, YOURS, 4)) == 4
