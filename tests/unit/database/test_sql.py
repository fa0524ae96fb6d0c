"""SQL that is written for names of any characters."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from consumerd.database.sql import opaque, quoted, quoted_text, written

NAME = 'at 50%: "half" `done`'


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("sqlite", 'SELECT "at 50%: ""half"" `done`" FROM jobs WHERE id = ?'),
        ("mysql", 'SELECT `at 50%%: "half" ``done``` FROM jobs WHERE id = %s'),
        ("postgresql", 'SELECT "at 50%%: ""half"" `done`" FROM jobs WHERE id = %s'),
    ],
)
def test_a_name_stands_for_itself_and_for_no_value(dialect: str, text: str) -> None:
    parts = {"done": quoted(dialect, NAME)}
    statement = written("SELECT {done} FROM jobs WHERE id = :id", parts, dialect, is_clock_given=True)
    assert (statement.text, statement.names) == (text, ("id",))


def test_sqlite_takes_such_a_name_for_what_it_is() -> None:
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE jobs ({quoted('sqlite', NAME)} TEXT)")
    ((_, name, *_),) = database.execute("PRAGMA table_info(jobs)")
    assert name == NAME
    database.close()


@pytest.mark.parametrize("text", ["it's 100 % :here", "back\\slash", "::"])
def test_a_text_stands_for_itself_and_for_no_value(text: str) -> None:
    statement = written("SELECT {text}, :a", {"text": quoted_text("sqlite", text)}, "sqlite", is_clock_given=True)
    with closing(sqlite3.connect(":memory:")) as database:
        assert database.execute(statement.text, ("x",)).fetchone() == (text, "x")
    assert written("{text}::int", {"text": quoted_text("mysql", text)}, "mysql", is_clock_given=True).names == ()


@pytest.mark.parametrize("sql", ["arr[1:2] = '{1}'", "note = $$it's :x$$", r"note = E'it\'s :x'", "a = 'b' -- it's :x"])
def test_what_a_user_wrote_is_taken_as_it_is(sql: str) -> None:
    statement = written("WHERE ({where}) AND id = :id", {"where": opaque(sql)}, "postgresql", is_clock_given=True)
    assert (statement.text, statement.names) == (f"WHERE ({sql}\n) AND id = %s", ("id",))
