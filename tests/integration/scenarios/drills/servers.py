"""Drills of servers: a broker, databases, the parking store."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from typing import Any

from sqlalchemy import URL, NullPool, create_engine, make_url, text

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.drills.world import Drill, Finding, World
from integration.scenarios.running import environment
from servers.kafka import KafkaServer

CLOCK_AHEAD_S = 300
MEMBER = "integration.scenarios.drills.restless"


def execute(url: URL | str, *statements: str) -> None:
    """Each in a transaction of its own."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def _produce(world: World, topic: str, records: int, partitions: int, ago_s: float = 0.0) -> None:
    from confluent_kafka import Producer  # the servers' tests need it, others do not

    producer = Producer({"bootstrap.servers": world.servers["kafka"].brokers})
    at_ms = 0
    if ago_s:
        at_ms = int((time.time() - ago_s) * 1000)
    for number in range(records):
        producer.produce(topic, b'{"number": %d}' % number, partition=number % partitions, timestamp=at_ms)
        producer.poll(0)
    assert producer.flush(30) == 0


def _topic(name: str, partitions: int, world: World, **configs: Any) -> None:
    broker: KafkaServer = world.servers["kafka"]
    topic = world.servers[f"topic-{name}"] = f"drill-{name}-{os.urandom(4).hex()}"
    broker.create_topic(topic, partitions)
    keys = {"brokers": broker.brokers, "topic_name": topic, "consumer_group": topic}
    world.add(name, "Records", **keys, **configs)


def _fill_one_partition(world: World) -> None:
    _produce(world, world.servers["topic-narrow"], 3000, 1, ago_s=300.0)


def _run_more_at_once(world: World, finding: Finding) -> str:
    world.reconfigure("narrow", concurrency=100)
    return world.step(finding, "consumerd reload")


def _join_and_leave(world: World) -> None:
    topic = world.servers["topic-restless"]
    command = [sys.executable, "-m", MEMBER, world.servers["kafka"].brokers, topic, topic]
    member = world.servers["member"] = subprocess.Popen(command, env=environment())
    world.at_end.callback(_end, member)


def _end_member(world: World, finding: Finding) -> str:
    _end(world.servers["member"])
    return "the other member has left"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(20)


def _stop_broker(world: World) -> None:
    world.servers["kafka"].stop()


def _start_broker(world: World, finding: Finding) -> str:
    world.servers["kafka"].start()
    return "the broker is there again"


def _rows(name: str, kind: str, world: World) -> None:
    url: str = world.servers[kind](name)
    create_table(url)
    enqueue(url, ({"number": number} for number in range(1000)))
    world.add(name, "Rows", database=url)


def _own_user(world: World) -> None:
    """A user of its own, whose password may expire."""
    admin = make_url(world.servers["mariadb"]("expired"))
    create_table(admin.render_as_string(hide_password=False))
    world.servers["expired-admin"] = admin
    user = f"drill_{os.urandom(4).hex()}"
    world.servers["expired-user"] = user
    grant = f"GRANT ALL ON {admin.database}.* TO {user}@'%'"
    execute(admin, f"CREATE USER {user}@'%' IDENTIFIED BY 'first'", grant)
    world.add(
        "expired", "Rows", database=admin.set(username=user, password="first").render_as_string(hide_password=False)
    )


def _expire(world: World) -> None:
    user = world.servers["expired-user"]
    execute(world.servers["expired-admin"], f"ALTER USER {user}@'%' PASSWORD EXPIRE", f"KILL USER {user}")


def _renew(world: World, finding: Finding) -> str:
    """The same password again, which nothing has to be told of."""
    execute(world.servers["expired-admin"], f"ALTER USER {world.servers['expired-user']}@'%' IDENTIFIED BY 'first'")
    return "the password is set anew"


def _alter_postgres(world: World, name: str, change: str) -> None:
    """For all sessions of a database, those that come and those that are there."""
    url = make_url(world.entries[name]["configs"]["database"])
    ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    writable = "SET default_transaction_read_only = off"  # this session too may be told that it is not
    execute(url, writable, f"ALTER DATABASE {url.database} {change}", f"{ending} AND pid <> pg_backend_pid()")


def _write_no_more(world: World) -> None:
    _alter_postgres(world, "replica", "SET default_transaction_read_only = on")


def _write_again(world: World, finding: Finding) -> str:
    _alter_postgres(world, "replica", "SET default_transaction_read_only = off")
    return "it takes writes again"


def _set_clock(world: World) -> None:
    """Every session of the database is told a time that is ahead."""
    url = make_url(world.entries["clock"]["configs"]["database"])
    later = f"pg_catalog.clock_timestamp() + interval '{CLOCK_AHEAD_S} seconds'"
    functions = [
        f"CREATE FUNCTION ahead.{name}() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT {later}'".replace(
            f"'{CLOCK_AHEAD_S} seconds'", f"''{CLOCK_AHEAD_S} seconds''"
        )
        for name in ("statement_timestamp", "clock_timestamp", "now")
    ]
    execute(url, "CREATE SCHEMA ahead", *functions)
    _alter_postgres(world, "clock", "SET search_path = ahead, pg_catalog, public")


def _set_clock_right(world: World, finding: Finding) -> str:
    _alter_postgres(world, "clock", "RESET search_path")
    return "its clock is right again"


def _parking(world: World) -> None:
    world.add("parking", "Parking", back_off_time=1, task_retry_times=5)


def _cut(world: World) -> None:
    (world.here("parking") / "broken").touch()
    world.servers["proxy"].cut()


def _join(world: World, finding: Finding) -> str:
    (world.here("parking") / "broken").unlink()
    world.servers["proxy"].mend()
    return "the store answers again"


TOGETHER = (
    Drill(
        "lag with idle workers",
        "narrow",
        "more_workers_than_shards",
        partial(_topic, "narrow", 1, workers=3, task_s=0.1),
        _fill_one_partition,
        _run_more_at_once,
        needs=("kafka",),
    ),
    Drill(
        "rebalance storm",
        "restless",
        "partitions_restless",
        partial(_topic, "restless", 4, workers=1, task_s=0.0),
        _join_and_leave,
        _end_member,
        needs=("kafka",),
    ),
    Drill(
        "database read-only",
        "replica",
        "source_read_only",
        partial(_rows, "replica", "postgres"),
        _write_no_more,
        _write_again,
        needs=("postgres",),
    ),
    Drill("expired password", "expired", "source_refuses", _own_user, _expire, _renew, needs=("mariadb",)),
    Drill(
        "clock apart",
        "clock",
        "clocks_apart",
        partial(_rows, "clock", "postgres"),
        _set_clock,
        _set_clock_right,
        needs=("postgres",),
    ),
)
IN_TURN = (
    Drill(
        "broker away",
        "away",
        "source_unreachable",
        partial(_topic, "away", 1, workers=1, task_s=0.0),
        _stop_broker,
        _start_broker,
        needs=("kafka",),
    ),
    Drill("store away", "parking", "store_unreachable", _parking, _cut, _join, needs=("proxy",), is_of_all=True),
)
