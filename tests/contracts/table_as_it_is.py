"""What a table may be like that tasks are claimed from: its records, keys, columns, conditions; and what it may not.

Subclass `TableAsItIsContract`, and give it a `bench`.
"""

from __future__ import annotations

import pytest

from consumerd.errors import SourceRefusedError, UndecodableError
from consumerd.model.task import TaskId
from consumerd.sources.table import KIND
from contracts.table_bench import TableBench, died, fetched, record, settle

ORDER_COLUMNS: dict[str, object] = {
    "state_column": "status",
    "states": {"pending": "open", "claimed": "taken", "done": "sent", "dead": "failed"},
    "due_column": "run_at",
    "attempts_column": "tries",
    "first_column": "tried_at",
    "lease_column": "owner",
    "settled_column": "ended_at",
}


class TableAsItIsContract:
    """The suite."""

    @pytest.mark.parametrize("payload", [b"\xff\xfe", b"", b"{", b"\0"])
    def test_a_payload_is_kept_byte_for_byte_whatever_it_is(self, bench: TableBench, payload: bytes) -> None:
        bench.enqueue(payload)
        source = bench.source()
        batch = fetched(source)
        assert batch.task(0).payload == payload
        with pytest.raises(UndecodableError):
            source.decode(batch.task(0).payload)

    def test_a_payload_over_the_limit_is_refused_before_it_is_decoded(self, bench: TableBench) -> None:
        bench.enqueue("x" * 1_048_577, "small")
        batch = fetched(bench.source())
        with pytest.raises(UndecodableError, match="over payload_limit"):
            record(batch)
        assert record(batch, 1) == "small"

    def test_a_payload_of_another_type_is_its_json(self, bench: TableBench) -> None:
        bench.enqueue("x")
        bench.execute("ALTER TABLE tasks ADD COLUMN big BIGINT DEFAULT 3000000000")
        source = bench.source(payload_column="big")
        batch = fetched(source)
        assert (record(batch), batch.task(0).payload) == (3_000_000_000, b"3000000000")

    def test_a_row_that_somebody_inserts_is_due_by_itself(self, bench: TableBench) -> None:
        bench.execute("INSERT INTO tasks (payload) VALUES (:payload)", payload=b'{"a": 1}')
        assert record(fetched(bench.source())) == {"a": 1}

    def test_the_record_may_be_the_row(self, bench: TableBench) -> None:
        self.make_orders(bench)
        source = bench.source(table="orders", id_column=["region", "number"], columns="*", **ORDER_COLUMNS)
        batch = fetched(source)
        first, again = record(batch), record(batch)
        assert isinstance(first, dict)
        assert {name: first[name] for name in ("region", "number", "text", "amount")} == {
            "region": "a,b",
            "number": 1,
            "text": "100 % 'ü'",
            "amount": 1.5,
        }
        assert first == again
        assert first is not again  # a handler may change what it is given
        assert {**first} == source.decode(batch.task(0).payload)

    def test_the_record_may_be_some_columns(self, bench: TableBench) -> None:
        self.make_orders(bench)
        source = bench.source(
            table="orders", id_column=["region", "number"], columns=["amount", "text"], **ORDER_COLUMNS
        )
        assert record(fetched(source)) == {"amount": 1.5, "text": "100 % 'ü'"}

    def test_a_key_of_two_columns_goes_from_claim_to_parked_copy(self, bench: TableBench) -> None:
        self.make_orders(bench)
        source = bench.source(table="orders", id_column=["region", "number"], columns="*", **ORDER_COLUMNS)
        parked_id = died(source)
        assert parked_id == "orders:a\\,b,1"
        settle(source, fetched(source, 1))
        source.finish_parked(TaskId(parked_id))
        assert self.states(bench) == ["sent", "sent", "open"]

    def test_only_rows_of_the_condition_are_tasks(self, bench: TableBench) -> None:
        self.make_orders(bench)
        options = {"id_column": ["region", "number"], "columns": ["number"], **ORDER_COLUMNS}
        source = bench.source(table="orders", where="number <> 2 AND text NOT LIKE ':a%'", **options)
        batch = fetched(source)
        assert [record(batch, index) for index in range(len(batch.raws))] == [{"number": 1}]
        settle(source, batch)
        assert source.lag()[0].tasks == 0
        assert self.states(bench) == (["sent"] if bench.is_beside else ["sent", "open", "open"])

    @pytest.mark.parametrize("where", ["no_such = 1", "id = ", "nonsense(id)"])
    def test_a_condition_that_the_database_does_not_take_is_refused_by_its_name(
        self, bench: TableBench, where: str
    ) -> None:
        bench.enqueue(1)
        for refuses in (lambda: bench.source(where=where), lambda: KIND.probe(bench.keys(where=where))):
            with pytest.raises(SourceRefusedError, match=r"`where` is no condition on the table tasks of .*: correct"):
                refuses()

    @pytest.mark.parametrize("where", ["text <> 'it''s :x' -- that's all", "number > 0 AND \"text\" <> ':number'"])
    def test_what_a_condition_has_of_its_own_is_left_to_the_database(self, bench: TableBench, where: str) -> None:
        self.make_orders(bench)
        condition = where.replace('"', "`") if bench.database.startswith(("mysql", "mariadb")) else where
        options = {"id_column": ["region", "number"], "columns": ["number"], **ORDER_COLUMNS}
        source = bench.source(table="orders", where=condition, **options)
        batch = fetched(source)
        settle(source, batch)
        assert source.lag()[0].tasks == 0
        assert self.states(bench) == ["sent"] * 3

    def states(self, bench: TableBench) -> list[object]:
        return bench.rows("status", "orders_claims" if bench.is_beside else "orders", "number")

    def make_orders(self, bench: TableBench) -> None:
        """A table whose columns and states have names of their own."""
        own = (
            ", status VARCHAR(9) DEFAULT 'open', run_at DOUBLE PRECISION DEFAULT 1, tries INTEGER, "
            "tried_at DOUBLE PRECISION, owner VARCHAR(255), ended_at DOUBLE PRECISION"
        )
        bench.execute(
            "CREATE TABLE orders (region VARCHAR(9) NOT NULL, number INTEGER NOT NULL, text VARCHAR(99), "
            f"amount DOUBLE PRECISION{'' if bench.is_beside else own}, PRIMARY KEY (region, number))"
        )
        if bench.is_beside:
            bench.make_claims(table="orders", id_column=["region", "number"], columns="*", **ORDER_COLUMNS)
        else:
            bench.execute("CREATE INDEX orders_next ON orders (status, run_at)")
        for number, words in enumerate(("100 % 'ü'", "b", ":a"), 1):
            bench.execute(
                "INSERT INTO orders (region, number, text, amount) VALUES ('a,b', :number, :words, :amount)",
                number=number,
                words=words,
                amount=number + 0.5,
            )

    # What cannot be

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ("DROP TABLE {claims}", "does not exist: make it with"),
            ("ALTER TABLE {claims} RENAME COLUMN lease TO other", "has no column lease"),
        ],
    )
    def test_a_table_that_cannot_be_claimed_from_is_refused(
        self, bench: TableBench, change: str, complaint: str
    ) -> None:
        bench.execute(change.format(claims=bench.claims))
        with pytest.raises(SourceRefusedError, match=complaint):
            bench.source()
        with pytest.raises(SourceRefusedError, match=complaint):
            KIND.probe(bench.keys())

    def test_a_table_without_a_unique_key_is_refused(self, bench: TableBench) -> None:
        bench.execute("CREATE TABLE twice AS SELECT * FROM tasks")
        with pytest.raises(SourceRefusedError, match="no unique index on id"):
            bench.source(table="twice")

    def test_a_row_that_can_never_be_claimed_is_told_by_its_whole_key(self, bench: TableBench) -> None:
        self.make_orders(bench)
        options = {"table": "orders", "id_column": ["region", "number"], "columns": "*", **ORDER_COLUMNS}
        claims = "orders_claims" if bench.is_beside else "orders"
        bench.source(**options).lag()  # makes them known
        bench.execute(f"UPDATE {claims} SET run_at = NULL WHERE number = 2")
        complaint = f"1 row of {claims} can never be claimed: 1 without run_at (id a\\,b,2)"
        for lag in (*bench.source("other", **options).lag(), *KIND.probe(bench.keys(**options))):
            assert lag.complaint == complaint, lag.complaint
