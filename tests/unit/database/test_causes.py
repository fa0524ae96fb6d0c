"""Why a database does not do what it should, in one line."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from consumerd.database.causes import LONGEST_CAUSE, cause_of, is_of_content, is_refusal, is_transient

SERVER = 'connection failed: connection to server at "127.0.0.1", port 5432 failed:'


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
        (Exception('FATAL:  database "x" does not exist\nDETAIL: more'), 'database "x" does not exist: create it'),
        (Exception(1049, "Unknown database 'x'"), "Unknown database 'x': create it, or correct its name"),
        (Exception(f"{SERVER} FATAL:  password authentication failed for user"), "correct its user and password"),
        (Exception("connection failed: fe_sendauth: no password supplied"), "correct its user and password"),
        (Exception(1045, "Access denied for user 'u'@'h' (using password: YES)"), "correct its user and password"),
        (Exception(1044, "Access denied for user 'u'@'h' to database 'd'"), "grant its user what it needs"),
        (Exception(1142, "INSERT command denied to user 'u'@'h' for table 'parked'"), "grant its user what it needs"),
        (Exception(f'{SERVER} FATAL:  too many connections for role "few"'), "or run fewer workers"),
        (Exception(f"{SERVER} FATAL:  sorry, too many clients already"), "or run fewer workers"),
        (Exception(f"{SERVER} FATAL:  remaining connection slots are reserved"), "or run fewer workers"),
        (Exception(1226, "User 'u' has exceeded the 'max_user_connections' resource"), "or run fewer workers"),
        (Exception(3159, "Connections using insecure transport are prohibited"), "set what TLS asks for"),
        (Exception(f'{SERVER} FATAL:  no pg_hba.conf entry for host "h", no encryption'), "set what TLS asks for"),
        (Exception(f"{SERVER} SSL error: certificate verify failed"), "set what TLS asks for in the URL's query"),
        (Exception(f'{SERVER} FATAL:  no pg_hba.conf entry for host "h", user "u"'), "accept this user from this host"),
        (Exception("failed to resolve host 'nowhere': [Errno -2] Name or service not known"), "correct its host"),
        (Exception(f"{SERVER} FATAL:  the database system is starting up"), "wait until it is up"),
        (Exception("cannot execute INSERT in a read-only transaction"), "see who may write there"),
        (Exception(f"{SERVER} Connection refused\n\tIs the server running?"), "Connection refused: see that it runs"),
        (
            Exception(
                "connection failed: Multiple connection attempts failed. All failures were:\n"
                "- host: 'h', port: 1, hostaddr: '::1': connection failed: Connection refused\n"
                "- host: 'h', port: 1, hostaddr: '127.0.0.1': connection failed: password authentication failed"
            ),
            "hostaddr: '127.0.0.1': connection failed: password authentication failed: correct its user and password",
        ),
        (Exception("something else"), "something else: see its log"),
    ],
)
def test_a_cause_is_the_drivers_words_and_what_to_do(error: Exception, cause: str) -> None:
    assert cause in cause_of(wrapped(error))


def test_too_many_open_files_are_no_matter_of_a_server() -> None:
    assert cause_of(OSError(24, "Too many open files", "/x")).endswith(
        "raise the limit on open files (ulimit -n, LimitNOFILE)"
    )


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


@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [
        (IntegrityError, Exception(1451, "a foreign key constraint fails"), (True, True)),
        (DataError, Exception(1265, "Data truncated for column 'state'"), (True, True)),
        (OperationalError, Exception(4025, "CONSTRAINT `known` failed"), (True, True)),
        (OperationalError, Exception(3819, "Check constraint 'known' is violated."), (True, True)),
        (OperationalError, Exception(2013, "Lost connection to MySQL server during query"), (False, False)),
        (OperationalError, Exception(1142, "DELETE command denied to user"), (False, False)),
        (ProgrammingError, Exception("new row violates row-level security policy"), (False, True)),
        (ProgrammingError, Exception("permission denied for table tasks"), (False, False)),
        (OperationalError, Exception(1205, "Lock wait timeout exceeded"), (False, True)),
        (ProgrammingError, Exception(1146, "Table 'd.tasks' doesn't exist"), (False, False)),
    ],
)
def test_a_refused_value_is_told_from_a_failed_connection(
    kind: type[DBAPIError], error: Exception, expected: tuple[bool, bool]
) -> None:
    raised = kind("UPDATE tasks", (), error)
    assert (is_of_content(raised), is_refusal(raised)) == expected


def test_sqlite_refuses_values_too() -> None:
    assert is_refusal(sqlite3.IntegrityError("FOREIGN KEY constraint failed"))
    assert not is_refusal(sqlite3.OperationalError("database is locked"))
    assert not is_refusal(None)
