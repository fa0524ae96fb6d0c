"""Update login grant time: the post's consumer, and the one that takes many logins at a time."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

import pytest

from consumerd.testing import run_consumer
from gop_consumer.consumers.login_batch_consumer import LoginBatchConsumer
from gop_consumer.consumers.login_consumer import LoginConsumer

GRANTS = "SELECT platform, uid, app_id, last_use_time FROM login_grant ORDER BY uid"


def login(uid: int, now: int) -> dict[str, int]:
    return {"platform": 1, "uid": uid, "app_id": 100067, "now": now}


@pytest.fixture(params=[LoginConsumer, LoginBatchConsumer])
def consumer(request: pytest.FixtureRequest, path: str, monkeypatch: pytest.MonkeyPatch) -> Any:  # the class
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    return request.param


@pytest.fixture
def configs(path: str) -> dict[str, Any]:  # any keys
    return {"database": path, "batch_size": 500, "coalesce": {"by": ["platform", "uid", "app_id"], "order_by": "now"}}


@pytest.mark.parametrize("times", [[1, 2, 3], [3, 2, 1], [2, 3, 1], [3, 3, 3]])
def test_the_newest_login_stays_whatever_the_order(
    consumer: type, path: str, rows: sqlite3.Connection, times: list[int]
) -> None:
    for now in times:  # one run each, so that no batch has them all
        assert run_consumer(consumer, [login(7, now)], configs={"database": path}).done == 1
    assert rows.execute(GRANTS).fetchall() == [(1, 7, 100067, 3)]


def test_a_login_that_comes_twice_does_no_harm(consumer: type, path: str, rows: sqlite3.Connection) -> None:
    assert run_consumer(consumer, [login(7, 1)] * 2, configs={"database": path}).done == 2
    assert rows.execute(GRANTS).fetchall() == [(1, 7, 100067, 1)]


def test_a_login_without_a_user_is_parked_and_the_others_are_written(
    consumer: type, path: str, rows: sqlite3.Connection
) -> None:
    run = run_consumer(consumer, [login(7, 1), {"platform": 1}, login(8, 2)], configs={"database": path})
    assert (run.done, list(run.dead())) == (2, ["test/consumer:1"])
    assert [row[1] for row in rows.execute(GRANTS)] == [7, 8]


def test_the_newest_of_a_batch_is_not_the_last_that_came(configs: dict[str, Any], rows: sqlite3.Connection) -> None:
    assert run_consumer(LoginBatchConsumer, [login(7, now) for now in (1, 3, 2)], configs=configs).done == 3
    assert rows.execute(GRANTS).fetchall() == [(1, 7, 100067, 3)]


def test_forty_logins_of_two_users_are_one_statement(
    configs: dict[str, Any], rows: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_consumer(LoginBatchConsumer, [login(7 + now % 2, now) for now in range(40)], configs=configs)
    assert (run.done, run.consumer.statements) == (40, 1)
    assert rows.execute(GRANTS).fetchall() == [(1, 7, 100067, 38), (1, 8, 100067, 39)]
    with caplog.at_level(logging.INFO):
        run.stop()
    assert caplog.messages == ["logins=40,statements=1,saved=39"]


def test_while_the_table_is_away_logins_wait(configs: dict[str, Any], rows: sqlite3.Connection) -> None:
    rows.execute("ALTER TABLE login_grant RENAME TO elsewhere")
    run = run_consumer(LoginBatchConsumer, [login(7, 1), login(8, 2)], configs={**configs, "back_off_time": 10})
    assert (run.done, len(run.waiting())) == (0, 2)
    rows.execute("ALTER TABLE elsewhere RENAME TO login_grant")
    run.advance(seconds=10)
    assert (run.done, run.waiting()) == (2, {})
