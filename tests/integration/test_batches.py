"""`handle_batch` in real workers, over a real broker and a real database."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from integration.scenarios.batches import TABLE
from integration.scenarios.running import Running
from integration.scenarios.small_masters import pool, stop, wait_running
from integration.test_kafka_source import committed, numbered, produce
from integration.test_suspects import Place, dead, records
from servers.kafka import KafkaServer, TopicFactory

MODULE = "integration.scenarios.batches"
PARTITIONS = 3
USERS = 40
LOGINS = 6_000
KILLS = 4
NUMBERS = 1_500


def start(place: Place, name: str, kafka: KafkaServer, topic: str, **configs: Any) -> Running:
    keys = {"brokers": kafka.brokers, "topic_name": topic, "consumer_group": topic}
    return place.start(name, MODULE, workers=2, **keys, **configs)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:
        yield Place(tmp_path, masters)


def logins() -> list[dict[str, Any]]:
    numbers = random.Random(7)
    users = numbers.choices(range(USERS), weights=[1 / rank for rank in range(1, USERS + 1)], k=LOGINS)
    return [{"uid": uid, "at": at, "is_bad": at % 1000 == 999} for at, uid in enumerate(users)]


@pytest.mark.parametrize("coalesce", [None, {"by": "uid"}, {"by": "uid", "quiet": 0.2, "max_wait": 0.5}])
def test_the_newest_of_each_key_is_written_whatever_dies(
    place: Place, kafka: KafkaServer, kafka_topic: TopicFactory, mariadb_url: str, coalesce: object
) -> None:
    topic, sent = kafka_topic("logins", PARTITIONS), logins()
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.execute(text(TABLE))
    configs = {"database": mariadb_url, "batch_size": 50, "batch_across": coalesce is not None}
    configs |= {} if coalesce is None else {"coalesce": coalesce}
    master = start(place, "Logins", kafka, topic, crash_limit=1000, **configs)
    for part in range(KILLS):
        wait_running(master, 2)
        some = sent[part * LOGINS // KILLS : (part + 1) * LOGINS // KILLS]
        produce(kafka.brokers, topic, [(each["uid"] % PARTITIONS, json.dumps(each).encode()) for each in some])
        slot = random.Random(part).choice([slot for slot in master.slots() if slot.pid is not None])
        with contextlib.suppress(ProcessLookupError):
            os.kill(slot.pid or 0, signal.SIGKILL)
    place.wait(
        master,
        lambda: sum(committed(kafka.brokers, topic, topic).values()) == LOGINS,
        lambda: f"all committed, now {committed(kafka.brokers, topic, topic)}",
    )
    newest = {each["uid"]: each["at"] for each in sent if not each["is_bad"]}
    bad = sum(each["is_bad"] for each in sent)
    with engine.connect() as connection:
        written = dict(map(tuple, connection.execute(text("SELECT uid, at FROM last_logins"))))
    assert written == newest
    assert len(dead(master)) <= bad if coalesce else len(dead(master)) == bad
    engine.dispose()
    if coalesce:
        assert pool(master, "logins")["coalesced"] > 0
    assert stop(master) == 0


def test_a_stop_hands_back_what_waits_for_its_batch(
    place: Place, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("numbers", PARTITIONS)
    produce(kafka.brokers, topic, numbered(NUMBERS, PARTITIONS))
    for part in (1, 2):
        master = start(place, "Numbers", kafka, topic, batch_size=20)
        wanted = part * NUMBERS // 3
        place.wait(master, lambda wanted=wanted: len(place.numbers()) >= wanted, lambda: f"{len(place.numbers())}")
        assert stop(master) == 0
    master = start(place, "Numbers", kafka, topic, batch_size=20)
    place.wait(master, lambda: len(place.numbers()) == NUMBERS, lambda: f"all, now {len(place.numbers())}")
    assert stop(master) == 0
    assert set(place.numbers().values()) == {1}


def test_rows_that_kill_their_worker_are_found_among_their_batch(place: Place) -> None:
    ends = {30: "exit", 77: "segfault"}
    master = place.start_on_table(records(ends, 100), "PoisonedRows", module=MODULE, crash_limit=2)
    place.wait_states(master, done=98, dead=2)
    assert set(place.numbers()) == set(range(100)) - set(ends)
    assert stop(master) == 0
