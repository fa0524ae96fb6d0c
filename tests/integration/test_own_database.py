"""`self.database` on a server: nobody has to notice that a connection was ended, or that the server was restarted."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

from consumerd import SQLBaseConsumer, TableBaseConsumer
from consumerd.testing import run_consumer
from servers.database import DatabaseServer

OWN_ID = {"mysql": "SELECT connection_id()", "postgresql": "SELECT pg_backend_pid()"}
END = {"mysql": "KILL {}", "postgresql": "SELECT pg_terminate_backend({})"}


class Mails(SQLBaseConsumer):
    """Has its connections ended after each mail, as a server does with those that are idle for too long."""

    def pre_consume(self) -> None:
        with self.database.begin() as connection:
            connection.execute(text("CREATE TABLE mails (id INTEGER PRIMARY KEY, state VARCHAR(9))"))
            connection.execute(text("INSERT INTO mails VALUES (1, 'new'), (2, 'new'), (3, 'new')"))

    def get_next_batch(self) -> list[Any]:  # SQLAlchemy's rows
        with self.database.connect() as connection:
            return list(connection.execute(text("SELECT id FROM mails WHERE state = 'new'")))

    def handle_task(self, offset: int, record: Any) -> None:  # as above
        with self.transaction() as connection:
            connection.execute(text("UPDATE mails SET state = 'sent' WHERE id = :id"), {"id": record.id})
        self.end_kept_connection()

    def end_kept_connection(self) -> None:
        dialect = self.database.dialect.name
        with self.database.connect() as kept:
            number = kept.execute(text(OWN_ID[dialect])).scalar()
        with create_engine(self.database.url, poolclass=NullPool).connect() as other:
            other.execute(text(END[dialect].format(number)))


def test_a_connection_that_was_ended_costs_no_task(database_url: str) -> None:
    run = run_consumer(Mails, configs={"database": database_url})
    assert (run.done, run.dead(), run.waiting()) == (3, {}, {})
    assert run.told("failed_after_done") == []
    run.stop()


class Restarts(TableBaseConsumer):
    server: DatabaseServer

    def handle_task(self, offset: int, record: int) -> None:
        with self.database.begin() as connection:
            connection.execute(text("SELECT 1"))
        self.server.restart()


@pytest.mark.parametrize("server", ["mariadb", "postgres"])
def test_a_server_that_was_restarted_costs_no_task(server: str, request: pytest.FixtureRequest) -> None:
    restartable: DatabaseServer = request.getfixturevalue(f"restartable_{server}")
    consumer = type("Consumer", (Restarts,), {"server": restartable})
    with restartable.fresh_database() as url:
        run = run_consumer(consumer, [1, 2], configs={"database": url})
        assert (run.done, run.dead(), run.waiting()) == (2, {}, {})
        run.stop()
