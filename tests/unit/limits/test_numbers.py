"""The numbers of keys, as a query of the user's returns them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from consumerd.config.shape import LimitNumbers
from consumerd.events.facts import Fact
from consumerd.limits.numbers import NumbersOfKeys, read_by
from consumerd.model.limits import Numbers

FIXED = Numbers.of(20, 100.0)


class Query:
    """What a database answers."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns
        self.rows: Sequence[Sequence[object]] = ()
        self.error: Exception | None = None

    def __call__(self) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
        if self.error is not None:
            raise self.error
        return self.columns, self.rows


def numbers(query: Query) -> tuple[NumbersOfKeys, list[Fact]]:
    told: list[Fact] = []
    return NumbersOfKeys("channel", FIXED, told.append, query), told


def test_a_key_has_its_row_and_without_one_the_numbers_of_the_limit() -> None:
    query = Query("name", "at_once", "per_second")
    query.rows = [("wechat", 5, None), (7, Decimal(2), 0.5), (None, None, 3), ("off", 0, 1)]
    found, told = numbers(query)
    assert (found.of("wechat"), found.is_asked) == (FIXED, False)
    found.refresh()
    assert found.of("wechat") == Numbers.of(5, 100.0)
    assert found.of("7") == Numbers.of(2, 0.5)
    assert found.of(None) == Numbers.of(20, 3)
    assert found.of("off").at_once == 0
    assert (found.of("other"), told, found.is_asked) == (FIXED, [], True)


def test_a_number_that_means_nothing_is_told_once_by_name_and_the_limits_own_holds() -> None:
    query = Query("name", "at_once", "per_second", "note")
    query.rows = [("a", -1, 5.0, "x"), ("b", "many", float("nan"), "x"), ("c", 2.5, True, "x"), ("d", 3, 1e9, "x")]
    found, told = numbers(query)
    for _ in range(2):
        found.refresh()
    assert (found.of("a"), found.of("b"), found.of("c")) == (Numbers.of(20, 5.0), FIXED, FIXED)
    refused = [(fact.fields["key"], fact.fields["column"]) for fact in told]
    assert refused == [
        ("a", "at_once"),
        ("b", "at_once"),
        ("b", "per_second"),
        ("c", "at_once"),
        ("c", "per_second"),
        ("d", "per_second"),
    ]
    query.rows = [("a", -2, 5.0, "x")]
    found.refresh()
    assert told[-1].fields["value"] == "-2"


def test_what_was_read_last_holds_while_the_database_is_away() -> None:
    query = Query("name", "at_once")
    found, told = numbers(query)
    query.error = OSError("refused")
    found.refresh()
    assert (found.of("a"), found.is_asked, told[-1].fields["then"]) == (FIXED, True, "the limit's own numbers hold")
    query.error, query.rows = None, [("a", 1)]
    found.refresh()
    query.error = OSError("refused")
    for _ in range(3):
        found.refresh()
    assert found.of("a") == Numbers.of(1, 100.0)
    assert [fact.name for fact in told] == ["limit_numbers_unread", "limit_numbers_read", "limit_numbers_unread"]


def test_a_query_without_numbers_is_said() -> None:
    found, told = numbers(Query("name", "most"))
    found.refresh()
    assert "name, most" in str(told[0].fields["error"])


def test_a_file_is_read_and_never_made(tmp_path: Path) -> None:
    query = LimitNumbers(database="partners.sqlite", query="SELECT name, most AS at_once FROM partner")
    read, _ = read_by(query, tmp_path)
    with pytest.raises(Exception, match="unable to open"):
        read()
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(tmp_path / "partners.sqlite") as database:
        database.execute("CREATE TABLE partner (name TEXT, most INTEGER)")
        database.execute("INSERT INTO partner VALUES ('wechat', 5)")
    assert read() == (["name", "at_once"], [("wechat", 5)])


def test_what_a_reference_stands_for_is_taken_out_of_what_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMITS_DB", "mysql://app:geheim@localhost:1/db")
    read, redactor = read_by(LimitNumbers(database="${LIMITS_DB}", query="SELECT 1"), tmp_path)
    with pytest.raises(Exception, match="localhost"):
        read()
    assert "geheim" not in redactor.redact("password geheim")
    unset, _ = read_by(LimitNumbers(database="${LIMITS_DB_2}", query="SELECT 1"), tmp_path)
    with pytest.raises(Exception, match="LIMITS_DB_2 is not set"):
        unset()
