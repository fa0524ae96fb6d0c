"""Real servers for benchmarks, as the tests start theirs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.database import DatabaseServer
    from servers.kafka import KafkaServer

TESTS = str(Path(__file__).parents[1] / "tests")


@contextmanager
def kafka() -> Iterator[KafkaServer]:
    """A broker of our own, stopped at the end."""
    sys.path.insert(0, TESTS)
    from servers.kafka import KafkaServer

    server = KafkaServer.launch()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def database_server(name: str) -> Iterator[DatabaseServer]:
    """MariaDB or PostgreSQL, of our own, ended afterwards."""
    sys.path.insert(0, TESTS)
    from servers.mariadb import launch_mariadb
    from servers.postgres import launch_postgres

    server = {"MariaDB": launch_mariadb, "PostgreSQL": launch_postgres}[name]()
    try:
        yield server
    finally:
        server.close()
