"""The balance notices what is lost, what is doubled, and what is wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from consumerd.sources.table.schema import create_table
from consumerd.testing import run_consumer
from gop_consumer.consumers.archive_consumer import ArchiveConsumer
from world import load
from world.balance import Books, Line, RowsAsTopics, triggers
from world.load import POISON, UNKNOWN_ACCOUNT, Load

LOAD = Load(seed=3, accounts=5, logins=30, changes=40, payments=12, orders=6)


@pytest.fixture
def books(path: str, rows: sqlite3.Connection, tmp_path: Path) -> Callable[[], list[Line]]:
    """The lines, where all went well, by plain SQL in the place of the daemons."""
    for table in ("login_task_row", "account_change_row"):
        create_table(path, table)
    rows.executescript(";\n".join(triggers("sqlite")))
    add = "INSERT INTO game_order (account_id, item, amount, state, finished_at) VALUES (1, 'sword', 5, 'finished', ?)"
    rows.executemany(add, [("2020-01-01 00:00:00",)] * LOAD.orders)
    configs = {"database": path, "folder": tmp_path, "pause": 0, "page": 2}
    assert run_consumer(ArchiveConsumer, configs=configs).done == 1
    _settle_all(rows, tmp_path / "calls")
    url = f"sqlite:///{path}"
    places = {"game_servers": tmp_path / "calls", "archive": tmp_path}
    return lambda: Books(url, RowsAsTopics(url), LOAD, **places).lines()


def _settle_all(rows: sqlite3.Connection, calls: Path) -> None:
    logins, changes = load.logins(LOAD), load.changes(LOAD)
    rows.executemany(
        "INSERT INTO login_grant VALUES (?, ?, ?, ?)", [(*key, now) for key, now in load.newest(logins).items()]
    )
    for table, dead in (("login_task_row", POISON), ("account_change_row", [json.dumps(UNKNOWN_ACCOUNT).encode()])):
        rows.executemany(f"INSERT INTO {table} (payload, state) VALUES (?, 'dead')", [(each,) for each in dead])
        rows.execute(f"INSERT INTO {table} (payload, state) VALUES ('', 'done')")
    for account_id, ended in load.accounts(changes).items():
        rows.execute("INSERT INTO account VALUES (?, 0, 1, 0, 0)", (account_id,))
        for version in range(1, ended[0] + 1):
            rows.execute("UPDATE account SET version = ? WHERE account_id = ?", (version, account_id))
        rows.execute(
            "UPDATE account SET level = ?, coins = ?, is_banned = ? WHERE account_id = ?", (*ended[1:], account_id)
        )
    for truth in load.payments(LOAD):
        new = (truth.payment_id, truth.app_id, 1, truth.channel, truth.amount, truth.before)
        rows.execute("INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, NULL)", new)
        state = "done" if truth.status.is_final else "dead"
        rows.execute(
            "INSERT INTO payment_check (payment_id, channel, state) VALUES (?, '', ?)", (truth.payment_id, state)
        )
        if truth.status.is_final:
            settled = (truth.status, truth.payment_id)
            rows.execute("UPDATE payment SET status = ?, settled_by = 'poll' WHERE payment_id = ?", settled)
            notified = "INSERT INTO payment_notification (app_id, payment_id, body, state) VALUES (7, ?, '', 'done')"
            rows.execute(notified, (truth.payment_id,))
            with calls.open("a") as file:
                file.write(json.dumps({"payment": truth.payment_id, "granted": True}) + "\n")


def test_it_is_even_where_all_went_well(books: Callable[[], list[Line]]) -> None:
    assert [line for line in books() if not line.is_even] == []


def test_what_was_tried_for_its_whole_time_is_expired(
    books: Callable[[], list[Line]], rows: sqlite3.Connection
) -> None:
    rows.execute("UPDATE payment_notification SET state = 'dead', first_at = 1, settled_at = 20 WHERE id = 1")
    assert (books()[2].expired, books()[2].lost) == (1, 0)


@pytest.mark.parametrize(
    ("statement", "uneven"),
    [
        ("DELETE FROM login_task_row WHERE state = 'dead'", 0),
        ("UPDATE login_grant SET last_use_time = last_use_time - 1", 0),
        ("UPDATE login_grant SET last_use_time = last_use_time + 1", 0),
        ("DELETE FROM login_grant", 0),
        ("UPDATE login_task_row SET state = 'pending' WHERE state = 'done'", 0),
        ("UPDATE login_task_row SET payload = '{}'", 0),
        ("DELETE FROM effect WHERE what = '1-1'", 1),
        ("UPDATE account SET coins = coins + 1 WHERE account_id = 1", 1),
        ("INSERT INTO effect VALUES ('accounts', '1-1', '5')", 1),
        ("DELETE FROM payment_notification WHERE id = 1", 2),
        ("UPDATE payment_notification SET payment_id = 999 WHERE id = 1", 2),
        ("UPDATE payment_notification SET state = 'dead', first_at = 1, settled_at = 2 WHERE id = 1", 2),
        ("UPDATE payment SET status = 'declined' WHERE status = 'paid'", 3),
        ("INSERT INTO effect SELECT daemon, what, value FROM effect WHERE daemon = 'checks'", 3),
        ("INSERT INTO game_order (id, account_id, item, amount) VALUES (1, 1, '', 1)", 4),
    ],
)  # fmt: skip
def test_what_went_wrong_is_noticed(
    books: Callable[[], list[Line]], rows: sqlite3.Connection, statement: str, uneven: int
) -> None:
    rows.executescript(statement)
    assert [number for number, line in enumerate(books()) if not line.is_even] == [uneven]
