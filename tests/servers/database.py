"""A database server, and fresh databases on it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from servers.process import ServerProcess


class DatabaseServer:
    """A server that `url` administers: our own, or a foreign one, which we use and neither stop nor start."""

    def __init__(self, url: str, process: ServerProcess | None = None) -> None:
        self.url = make_url(url)
        self._process = process

    @property
    def is_ours(self) -> bool:
        """Whether we started it, and so may stop it."""
        return self._process is not None

    @property
    def process(self) -> ServerProcess:
        """The process of our own server; a foreign one's is not ours to touch."""
        if self._process is None:
            raise RuntimeError(f"the server at {self.url} is not ours to stop or start")
        return self._process

    def start(self) -> None:
        """Start it with the data that it has, on the port that it had."""
        self.process.start()

    def stop(self) -> None:
        """Stop it in an orderly way."""
        self.process.stop()

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()

    def restart(self) -> None:
        """Stop it and start it again."""
        self.process.restart()

    def close(self) -> None:
        """End our own server for good; a foreign one is left alone."""
        if self._process is not None:
            self._process.close()

    @contextmanager
    def fresh_database(self, options: str = "") -> Iterator[str]:
        """The URL, with its password, of an empty database; dropped at the end, whoever is still connected.

        options: what `CREATE DATABASE` is to say besides the name.
        """
        name = f"test_{uuid.uuid4().hex[:12]}"
        with _administer(self.url) as connection:
            connection.execute(text(f"CREATE DATABASE {name} {options}"))
        try:
            yield self.url.set(database=name).render_as_string(hide_password=False)
        finally:
            with _administer(self.url) as connection:
                _drop(connection, name)


def answers(url: str) -> bool:
    """Whether the server at this URL executes a statement."""
    try:
        with _administer(make_url(url)) as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError:
        return False
    return True


@contextmanager
def _administer(url: URL) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def _drop(connection: Connection, name: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        return
    sessions = text("SELECT id FROM information_schema.processlist WHERE db = :name")
    for session in connection.execute(sessions, {"name": name}).scalars().all():
        connection.execute(text(f"KILL {session:d}"))
    connection.execute(text(f"DROP DATABASE {name}"))
