"""The servers of the integration tests: each is started when a test first asks for it, and lives as long as the run."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import make_url

from integration.scenarios.page_visitors import SOON_MS
from servers.browser import launched
from servers.database import DatabaseServer
from servers.environment import address_variable, foreign_address, is_ci
from servers.kafka import KafkaServer, TopicFactory
from servers.mariadb import launch_mariadb
from servers.packages import UnavailableError
from servers.pgbouncer import launch_pgbouncer
from servers.postgres import launch_postgres

Server = TypeVar("Server", KafkaServer, DatabaseServer)


LONGEST_FIRST = ("test_autoscaling", "test_watchdog", "test_schedules", "test_events", "test_chaos")
"""Files whose tests begin first where several processes share them, so that none is left alone with a long one."""


@pytest.hookimpl(tryfirst=True)  # xdist looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests, one has all that need a broker, which is slow to start."""
    if not config.pluginmanager.has_plugin("xdist"):
        return
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("kafka"))

    def place(item: pytest.Item) -> tuple[bool, int]:
        rank = LONGEST_FIRST.index(item.path.stem) if item.path.stem in LONGEST_FIRST else len(LONGEST_FIRST)
        return item.get_closest_marker("xdist_group") is None, rank

    items.sort(key=place)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A broker that all tests share: it is only to be used, see `restartable_kafka`."""
    yield from _shared("kafka", KafkaServer, KafkaServer.launch)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """A MariaDB server that all tests share; most want `mariadb_url`."""
    yield from _shared("mariadb", DatabaseServer, launch_mariadb)


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    """A PostgreSQL server that all tests share; most want `postgres_url`."""
    yield from _shared("postgres", DatabaseServer, launch_postgres)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser that the tests of a module share; each has a context of its own. While it is there, an event loop runs
    in this thread, in which no other test could run one of its own.
    """
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(launched())
        except UnavailableError as error:
            pytest.fail(str(error), pytrace=False) if is_ci() else pytest.skip(str(error))
        expect.set_options(timeout=SOON_MS)
        yield browser


@pytest.fixture
def restartable_kafka(kafka: KafkaServer) -> Iterator[KafkaServer]:
    """The shared broker for a test that stops or kills it; it runs again afterwards."""
    yield from _restartable("kafka", kafka)


@pytest.fixture
def restartable_mariadb(mariadb: DatabaseServer) -> Iterator[DatabaseServer]:
    """The shared MariaDB for a test that stops or kills it; it runs again afterwards."""
    yield from _restartable("mariadb", mariadb)


@pytest.fixture
def restartable_postgres(postgres: DatabaseServer) -> Iterator[DatabaseServer]:
    """The shared PostgreSQL for a test that stops or kills it; it runs again afterwards."""
    yield from _restartable("postgres", postgres)


@pytest.fixture
def kafka_topic(kafka: KafkaServer) -> Iterator[TopicFactory]:
    """Makes fresh topics: `kafka_topic(name="topic", partitions=1, config=None)` returns the topic's full name."""
    created: list[str] = []

    def create(name: str = "topic", partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        topic = f"{name}-{uuid.uuid4().hex[:8]}"
        kafka.create_topic(topic, partitions, config)
        created.append(topic)
        return topic

    yield create
    if not kafka.is_ours:  # ours goes with the run, and may be down at this moment
        for topic in created:
            kafka.delete_topic(topic)


@pytest.fixture
def mariadb_url(mariadb: DatabaseServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty MariaDB database, dropped after the test."""
    with mariadb.fresh_database() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: DatabaseServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database, dropped after the test."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def pgbouncer(postgres: DatabaseServer) -> Iterator[DatabaseServer]:
    """A PgBouncer before the shared PostgreSQL."""
    yield from _shared("pgbouncer", DatabaseServer, lambda: launch_pgbouncer(postgres.url))


@pytest.fixture
def pgbouncer_url(pgbouncer: DatabaseServer, postgres_url: str) -> str:
    """The URL of an empty PostgreSQL database, through PgBouncer in transaction mode."""
    through = make_url(postgres_url).set(host=pgbouncer.url.host, port=pgbouncer.url.port)
    return through.render_as_string(hide_password=False)


@pytest.fixture(params=["mariadb", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs once for each kind of server, with the URL of an empty database there."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


def _shared(name: str, foreign: Callable[[str], Server], launch: Callable[[], Server]) -> Iterator[Server]:
    address = foreign_address(name)
    try:
        server = foreign(address) if address else launch()
    except UnavailableError as error:
        reason = f"no {name}: {error}, or name one in {address_variable(name)}"
        pytest.fail(reason, pytrace=False) if is_ci() else pytest.skip(reason)
    yield server
    server.close()


def _restartable(name: str, server: Server) -> Iterator[Server]:
    if not server.is_ours:
        pytest.skip(f"the {name} that {address_variable(name)} names is not ours to stop")
    yield server
    server.start()
