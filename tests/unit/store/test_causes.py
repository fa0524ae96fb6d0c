"""Why a database does not do what it should, in one line."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from consumerd.store.causes import LONGEST_CAUSE, cause_of, is_transient


def wrapped(error: Exception) -> OperationalError:
    return OperationalError("INSERT INTO parked VALUES (?)", ("a secret payload",), error)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full: free some space"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "see who may write there"),
        (sqlite3.DatabaseError("database disk image is malformed"), "restore it from a copy"),
        (sqlite3.OperationalError("database is locked"), "find the process that holds it"),
        (
            Exception(2003, "Can't connect to MySQL server on 'h'"),
            "Can't connect to MySQL server on 'h': see that it runs",
        ),
        (Exception('database "x" does not exist\nDETAIL: more'), 'database "x" does not exist: create it'),
        (Exception("something else"), "something else: see its log"),
    ],
)
def test_a_cause_is_the_drivers_words_and_what_to_do(error: Exception, cause: str) -> None:
    assert cause in cause_of(wrapped(error))


def test_an_error_of_the_system_names_its_file() -> None:
    error = FileNotFoundError(2, "No such file or directory", "/x/y")
    assert cause_of(error).startswith("No such file or directory /x/y: see that its folder is there")


def test_neither_the_statement_nor_its_parameters_are_told() -> None:
    told = cause_of(wrapped(Exception("broken")))
    assert "secret" not in told
    assert "INSERT" not in told


def test_a_cause_is_one_line_of_bounded_length() -> None:
    told = cause_of(Exception("x\n" * 1000))
    assert "\n" not in told
    assert len(told) < LONGEST_CAUSE + 50


@pytest.mark.parametrize(("code", "expected"), [(1213, True), (1205, True), (2006, False)])
def test_lost_races_are_tried_again_at_once(code: int, expected: bool) -> None:
    assert is_transient(wrapped(Exception(code, "words"))) == expected
