"""GOP's database as a scenario needs it: its tables made anew, filled, and read with a connection of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, text

SCHEMA = Path(__file__).parents[3] / "examples" / "gop" / "schema.sql"
TABLES = ("login_grant", "app", "app_event")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection in autocommit, closed at the end."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def create_tables(url: str) -> None:
    """The tables of the example, empty."""
    lines = (line for line in SCHEMA.read_text().splitlines() if not line.startswith("--"))
    with connected(url) as connection:
        for table in TABLES:
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)


def read_grants(url: str) -> dict[tuple[int, int, int], int]:
    """All grants: last_use_time by platform, uid and app_id."""
    with connected(url) as connection:
        rows = connection.execute(text("SELECT platform, uid, app_id, last_use_time FROM login_grant"))
        return {(platform, uid, app_id): now for platform, uid, app_id, now in rows}


def add_app(url: str, app_id: int, *, endpoint: str, events: int) -> frozenset[int]:
    """An app with so many fresh events; their ids."""
    with connected(url) as connection:
        connection.execute(
            text("INSERT INTO app VALUES (:app_id, :endpoint)"), {"app_id": app_id, "endpoint": endpoint}
        )
        connection.execute(
            text("INSERT INTO app_event (app_id, name, body) VALUES (:app_id, :name, :body)"),
            [{"app_id": app_id, "name": "level_up", "body": f'{{"level": {number}}}'} for number in range(events)],
        )
        ids = connection.execute(text("SELECT id FROM app_event WHERE app_id = :app_id"), {"app_id": app_id})
        return frozenset(ids.scalars())


def read_event_states(url: str, app_id: int) -> dict[int, str]:
    """The state of each event of an app, by id."""
    with connected(url) as connection:
        rows = connection.execute(text("SELECT id, state FROM app_event WHERE app_id = :app_id"), {"app_id": app_id})
        return {row.id: row.state for row in rows}
