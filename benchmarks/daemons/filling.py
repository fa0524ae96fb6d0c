"""The tasks of each daemon, all of them there before it starts, and how many of them are done by now.

All are fit to be done: this is about what a task costs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

SCHEMA = Path(__file__).parents[2] / "examples" / "gop" / "schema.sql"
SECRET = "whsec_Z29wLXNlY3JldC1vZi10b2RheQ"
APPS, ACCOUNTS, AMOUNT = 10, 500, 100
ROWS_A_STATEMENT = 1000

Rows = list[dict[str, Any]]  # of any columns


class World:
    """brokers: of Kafka. database: its URL, with the example's tables in it. partners: the URL of both kinds."""

    def __init__(self, brokers: str, database: str, partners: str) -> None:
        self.brokers, self.database, self.partners = brokers, database, partners
        self.engine: Engine = create_engine(database)
        with self.engine.begin() as connection:
            for statement in filter(str.strip, SCHEMA.read_text().split(";\n")):
                connection.exec_driver_sql(statement)

    def count(self, query: str) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text(query)).scalar() or 0)

    def insert(self, table: str, rows: Rows) -> None:
        columns = list(rows[0])
        values = ", ".join(f":{column}" for column in columns)
        with self.engine.begin() as connection:
            for start in range(0, len(rows), ROWS_A_STATEMENT):
                statement = text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})")
                connection.execute(statement, rows[start : start + ROWS_A_STATEMENT])

    def produce(self, topic: str, messages: Iterator[tuple[int, dict[str, Any]]]) -> None:
        """Pairs of a key and a record."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.brokers, "linger.ms": 50})
        for key, record in messages:
            producer.produce(topic, json.dumps(record), str(key))
            producer.poll(0)
        producer.flush()


@dataclass(frozen=True)
class Daemon:
    """entry: in gop.toml. program: in supervisord.conf. done: SQL that counts."""

    name: str
    entry: str
    program: str
    tasks: int
    fill: Callable[[World, int], None]
    done: str


def logins(world: World, tasks: int) -> None:
    """Each of another player: nothing can be left out."""
    records = ({"platform": 1, "uid": uid, "app_id": 7, "now": 1_700_000_000 + uid} for uid in range(tasks))
    world.produce("login_task", ((record["uid"], record) for record in records))


def accounts(world: World, tasks: int) -> None:
    """Of each player one after the other."""
    world.insert("account", [{"account_id": number} for number in range(1, ACCOUNTS + 1)])
    for version in range(1, tasks // ACCOUNTS + 1):
        world.produce("account_change", ((player, _change(player, version)) for player in range(1, ACCOUNTS + 1)))


def _change(account_id: int, version: int) -> dict[str, Any]:
    known = {"account_id": account_id, "version": version, "change_id": f"{account_id}-{version}"}
    return {**known, "what": "coins", "value": 1}


def notifications(world: World, tasks: int) -> None:
    world.insert(
        "webhook", [{"app_id": app, "url": f"{world.partners}/{app}", "secret": SECRET} for app in range(APPS)]
    )
    body = json.dumps({"type": "payment.settled", "data": {"payment_id": 1, "amount": AMOUNT, "status": "paid"}})
    rows = [{"app_id": number % APPS, "payment_id": number, "body": body} for number in range(1, tasks + 1)]
    world.insert("payment_notification", rows)


def checks(world: World, tasks: int) -> None:
    common = {"app_id": 7, "account_id": 1, "amount": AMOUNT, "status": "pending"}
    channels = [("wechat", "unionpay")[number % 2] for number in range(tasks)]
    known = [{"payment_id": number, "channel": channel} for number, channel in enumerate(channels, start=1)]
    world.insert("payment", [{**row, **common} for row in known])
    world.insert("payment_check", known)


def orders(world: World, tasks: int) -> None:
    row = {"account_id": 1, "item": "sword", "amount": 5, "state": "finished", "finished_at": "2020-01-01 00:00:00"}
    world.insert("game_order", [row] * tasks)


DAEMONS = (
    Daemon(
        "update login grant time", "login-grants", "login_grants", 40_000, logins,
        "SELECT count(*) FROM login_grant",
    ),
    Daemon("update user game account", "accounts", "accounts", 10_000, accounts, "SELECT sum(version) FROM account"),
    Daemon(
        "payment notification", "notifications", "notifications", 3_000, notifications,
        "SELECT count(*) FROM payment_notification WHERE state = 'done'",
    ),
    Daemon(
        "check payment status", "checks", "checks", 3_000, checks,
        "SELECT count(*) FROM payment_check WHERE state = 'done'",
    ),
    Daemon("archive old data", "archive", "archive", 100_000, orders, "SELECT count(*) FROM game_order_archive"),
)  # fmt: skip
