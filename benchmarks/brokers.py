"""Real servers for benchmarks, as the tests start theirs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
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
def redis() -> Iterator[str]:
    """The URL of a Redis of our own; without one here, that of a queue in the peer's own memory."""
    sys.path.insert(0, TESTS)
    from servers.packages import UnavailableError, require_programs
    from servers.ports import free_port, is_open

    try:
        program = require_programs(("redis-server",), ("redis-server",))["redis-server"]
    except UnavailableError:
        yield "memory://"
        return
    port = free_port()
    server = subprocess.Popen([program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=PIPE)
    try:
        while not is_open(port) and server.poll() is None:
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.communicate()


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
