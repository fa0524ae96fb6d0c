"""The servers themselves: they answer, come back with their data, and do not outlive the run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from servers.accounts import private_folder
from servers.database import DatabaseServer
from servers.environment import foreign_address
from servers.kafka import KafkaServer, TopicFactory
from servers.process import Plan, ServerProcess
from servers.waiting import has_ended, wait_until

_GONE_S = 60.0

_LAUNCHES = {
    "kafka": "from servers.kafka import KafkaServer; server = KafkaServer.launch()",
    "mariadb": "from servers.mariadb import launch_mariadb; server = launch_mariadb()",
    "postgres": "from servers.postgres import launch_postgres; server = launch_postgres()",
}


def test_kafka_keeps_its_records_over_a_restart(restartable_kafka: KafkaServer, kafka_topic: TopicFactory) -> None:
    topic = kafka_topic("kept", partitions=3)
    _produce(restartable_kafka, topic, b"before")
    restartable_kafka.restart()
    _produce(restartable_kafka, topic, b"after")
    assert _consume(restartable_kafka, topic, 2) == {b"before", b"after"}


def test_kafka_keeps_its_records_when_it_is_killed(restartable_kafka: KafkaServer, kafka_topic: TopicFactory) -> None:
    topic = kafka_topic("kept")
    _produce(restartable_kafka, topic, b"before")
    restartable_kafka.kill()
    restartable_kafka.start()
    _produce(restartable_kafka, topic, b"after")
    assert _consume(restartable_kafka, topic, 2) == {b"before", b"after"}


def test_kafka_takes_a_record_of_16_mib(kafka: KafkaServer, kafka_topic: TopicFactory) -> None:
    topic = kafka_topic("large")
    payload = bytes(16 * 1024 * 1024)
    _produce(kafka, topic, payload)
    assert _consume(kafka, topic, 1) == {payload}


def test_a_fresh_database_is_empty_and_gone_afterwards(database: DatabaseServer) -> None:
    with database.fresh_database() as url:
        _execute(url, "CREATE TABLE kept (id INT PRIMARY KEY)")
    with database.fresh_database() as other:
        assert url != other
        _execute(other, "CREATE TABLE kept (id INT PRIMARY KEY)")
        assert _execute(other, "SELECT count(*) FROM kept") == 0
    with pytest.raises(OperationalError):
        _execute(url, "SELECT 1")


def test_a_database_is_dropped_while_somebody_is_in_a_transaction(database: DatabaseServer) -> None:
    with database.fresh_database() as url:
        _execute(url, "CREATE TABLE kept (id INT PRIMARY KEY)")
        forgotten = create_engine(url, poolclass=NullPool).connect()
        forgotten.execute(text("SELECT * FROM kept"))
    forgotten.invalidate()
    forgotten.close()


@pytest.mark.parametrize("leave", ["stop", "kill"])
def test_a_database_keeps_its_rows_when_it_is_started_again(restartable_database: DatabaseServer, leave: str) -> None:
    with restartable_database.fresh_database() as url:
        _execute(url, "CREATE TABLE kept (id INT PRIMARY KEY)")
        _execute(url, "INSERT INTO kept VALUES (7)")
        getattr(restartable_database, leave)()
        restartable_database.start()
        assert _execute(url, "SELECT id FROM kept") == 7


@pytest.mark.parametrize("name", _LAUNCHES)
def test_a_server_is_gone_when_its_run_is_killed(name: str) -> None:
    if foreign_address(name):
        pytest.skip(f"{name} is a foreign one")
    script = f"{_LAUNCHES[name]}; print(server.process.pid, server.process.folder, flush=True); input()"
    with _run(script) as run:
        pid, folder = _first_line(run).split()
        _kill_and_expect_gone(run, int(pid), Path(folder))


def test_a_descendant_in_a_session_of_its_own_is_gone_when_the_run_is_killed() -> None:
    script = (
        "from pathlib import Path; from servers.accounts import private_folder; from servers.process import *;"
        "folder = private_folder('shell'); child = folder / 'child';"
        "command = ('sh', '-c', 'setsid sleep 600 & echo $! >child; mv child pid; wait');"
        "ServerProcess.launch(Plan('shell', folder, (), command), (folder / 'pid').exists);"
        "print((folder / 'pid').read_text().strip(), folder, flush=True); input()"
    )
    with _run(script) as run:
        pid, folder = _first_line(run).split()
        _kill_and_expect_gone(run, int(pid), Path(folder))


def test_a_server_that_fails_to_start_shows_its_log_and_leaves_nothing() -> None:
    folder = private_folder("failing")
    plan = Plan("shell", folder, (), ("sh", "-c", "echo the disk is on fire; exit 3"))
    with pytest.raises(RuntimeError, match="shell exited 3 while it started\nthe disk is on fire"):
        ServerProcess.launch(plan, lambda: False)
    assert not folder.exists()


def test_a_server_that_cannot_be_prepared_says_so() -> None:
    plan = Plan("shell", private_folder("failing"), (("sh", "-c", "echo no space; exit 3"),), ("true",))
    with pytest.raises(RuntimeError, match=r"(?s)shell did not start: failed.*no space"):
        ServerProcess.launch(plan, lambda: True)


@pytest.fixture(params=["mariadb", "postgres"])
def database(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each kind of shared database server in turn."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["mariadb", "postgres"])
def restartable_database(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each kind of database server that may be stopped."""
    server: DatabaseServer = request.getfixturevalue(f"restartable_{request.param}")
    return server


def _produce(kafka: KafkaServer, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.brokers, "message.max.bytes": 20_000_000, "log_level": 0})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def _consume(kafka: KafkaServer, topic: str, count: int) -> set[bytes | None]:
    consumer = Consumer(
        {"bootstrap.servers": kafka.brokers, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topic])
    try:
        return {message.value() for message in consumer.consume(count, timeout=30) if message.error() is None}
    finally:
        consumer.close()


def _execute(url: str, statement: str) -> object:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def _run(script: str) -> "subprocess.Popen[str]":
    """A test run to be killed: its input is a pipe, so that it ends with us, too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def _first_line(run: "subprocess.Popen[str]") -> str:
    assert run.stdout is not None
    return run.stdout.readline()


def _kill_and_expect_gone(run: "subprocess.Popen[str]", pid: int, folder: Path) -> None:
    server = os.pidfd_open(pid)
    run.send_signal(signal.SIGKILL)
    try:
        wait_until(lambda: has_ended(server), _GONE_S, f"the server {pid} runs on")
        wait_until(lambda: not folder.exists(), _GONE_S, f"{folder} is still there")
    finally:
        os.close(server)
