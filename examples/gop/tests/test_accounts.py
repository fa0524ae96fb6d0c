"""Update user game account: each effect once, in order by account; stale, duplicate and gap apart."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import pytest

from consumerd.testing import Message, Run, run_consumer
from gop_consumer.consumers.account_consumer import AccountConsumer

CONCURRENT = {"concurrency": 4, "ordered": "key"}


def change(version: int, what: str = "coins", value: int = 10, *, account: int = 7, change_id: str = "") -> Message:
    record = {"account_id": account, "version": version, "what": what, "value": value}
    return Message({**record, "change_id": change_id or f"{account}-{version}"}, key=str(account).encode())


def consumed(path: str, *changes: Message, **configs: Any) -> Run:  # any keys
    return run_consumer(AccountConsumer, changes, configs={"database": path, "task_retry_times": 3, **configs})


@pytest.fixture(autouse=True)
def accounts(rows: sqlite3.Connection) -> None:
    rows.executemany("INSERT INTO account (account_id) VALUES (?)", [(7,), (8,)])


def account(rows: sqlite3.Connection, account_id: int = 7) -> Any:
    """Version, level, coins and ban, as a tuple."""
    columns = "version, level, coins, is_banned"
    return rows.execute(f"SELECT {columns} FROM account WHERE account_id = ?", (account_id,)).fetchone()


def odd(rows: sqlite3.Connection) -> list[tuple[int, str]]:
    return rows.execute("SELECT version, verdict FROM account_odd_change ORDER BY id").fetchall()


def test_changes_are_applied_in_order(path: str, rows: sqlite3.Connection) -> None:
    run = consumed(path, change(1), change(2, "level", 5), change(3, "ban", 1), change(1, account=8, value=3))
    assert (run.done, account(rows), account(rows, 8)) == (4, (3, 5, 10, 1), (1, 1, 3, 0))
    assert odd(rows) == []


def test_a_change_that_comes_again_has_its_effect_once(path: str, rows: sqlite3.Connection) -> None:
    assert consumed(path, change(1), change(1), change(2), change(1)).done == 4
    assert account(rows) == (2, 1, 20, 0)
    assert odd(rows) == [(1, "duplicate"), (1, "duplicate")]


def test_another_change_of_a_version_that_is_past_is_stale(path: str, rows: sqlite3.Connection) -> None:
    consumed(path, change(1), change(1, value=99, change_id="a retry of the game's, under another id"))
    assert (account(rows), odd(rows)) == ((1, 1, 10, 0), [(1, "stale")])


def test_a_change_that_is_ahead_is_applied_with_the_one_that_was_missing(path: str, rows: sqlite3.Connection) -> None:
    consumed(path, change(1), change(3), change(4))
    assert (account(rows), odd(rows)) == ((1, 1, 10, 0), [(3, "gap"), (4, "gap")])
    consumed(path, change(2), change(3))
    assert (account(rows), odd(rows)[2:]) == ((4, 1, 40, 0), [(3, "duplicate")])


def test_an_account_that_is_not_there_is_parked(path: str) -> None:
    run = consumed(path, change(1, account=99), change(1))
    assert list(run.dead().values()) == ["the handler gave up: no account has the id 99"]
    assert run.done == 1


def test_a_change_of_a_kind_that_nobody_knows_is_parked_without_an_attempt(path: str) -> None:
    [error] = consumed(path, change(1, "diamonds")).dead().values()
    assert error.startswith("UndecodableError: the record is no AccountChange: what:")


@pytest.mark.parametrize("seed", range(5))
def test_in_any_order_and_any_number_the_account_ends_the_same(path: str, rows: sqlite3.Connection, seed: int) -> None:
    changes = [change(version, value=version) for version in range(1, 21)] * 2
    random.Random(seed).shuffle(changes)
    run = consumed(path, *changes, **CONCURRENT)
    assert (run.done, run.dead()) == (40, {})
    assert account(rows) == (20, 1, sum(range(1, 21)), 0)
    run.stop()


def test_a_failure_between_the_effect_and_the_end_undoes_both(path: str, rows: sqlite3.Connection) -> None:
    rows.execute("CREATE TRIGGER broken BEFORE UPDATE OF coins ON account BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    run = consumed(path, change(1), task_retry_times=0, back_off_time=10)
    assert (account(rows), len(run.waiting())) == ((0, 1, 0, 0), 1)
    rows.execute("DROP TRIGGER broken")
    run.advance(seconds=10)
    assert (run.done, account(rows), odd(rows)) == (1, (1, 1, 10, 0), [])
