"""Tasks that kill their workers: each is parked after `crash_limit` deaths, and nobody else suffers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import entry, pool, stop, wait_for, write_config
from integration.test_kafka_source import produce
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until

MODULE = "integration.scenarios.poisoned"
END_S = 90.0
ROWS = 500
STORM = 12
IN_HAND = 100
BATCH_SIZE = 50

Record = dict[str, Any]


class Place:
    """A directory: a claimed table, what its tasks wrote, and masters that run one after the other."""

    def __init__(self, directory: Path, masters: contextlib.ExitStack) -> None:
        self.directory = directory
        self.database = str(directory / "tasks.sqlite")
        self.file = directory / "numbers"
        self.file.touch()
        self._masters = masters
        self._started = 0

    def start(self, name: str, module: str = MODULE, **configs: Any) -> Running:
        write_config(self.directory, entry(name, module=module, file=str(self.file), **configs))
        self._started += 1
        master = self._masters.enter_context(
            running(
                str(self.directory / "config.json"),
                state_dir=self.directory / "state",
                log=self.directory / f"log{self._started}",
                env=environment(),
            )
        )
        wait_for(master, lambda found: True, "an answer")
        return master

    def start_on_table(self, records: list[Record], name: str = "OfTable", **configs: Any) -> Running:
        if not Path(self.database).exists():
            create_table(self.database)
            enqueue(self.database, records)
        return self.start(name, database=self.database, batch_size=BATCH_SIZE, **configs)

    def numbers(self) -> Counter[int]:
        return Counter(int(line) for line in self.file.read_text().splitlines())

    def states(self) -> Counter[str]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return Counter(state for (state,) in connection.execute("SELECT state FROM tasks"))

    def wait_states(self, master: Running, **states: int) -> None:
        self.wait(master, lambda: self.states() == states, lambda: f"{states}, now {self.states()}")

    def wait(self, master: Running, condition: Any, what: Any) -> None:
        wait_until(condition, deadline_s=END_S, message=lambda: f"{what()}{master.tail()}")

    def events(self, name: str) -> list[Record]:
        lines = (json.loads(line) for path in self.directory.glob("log*") for line in path.read_text().splitlines())
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:
        yield Place(tmp_path, masters)


def records(ends: dict[int, str], count: int = ROWS) -> list[Record]:
    return [{"number": number, "end": ends.get(number)} for number in range(count)]


def dead(master: Running) -> list[Answer]:
    return [task for task in master.parked() if task["state"] == "dead"]


def ends_of(master: Running, kind: str, ends: int, crashes: int) -> None:
    """The one dead task says how its workers died."""
    (task,) = dead(master)
    assert (task["error"], task["crashes"]) == (
        f"the workers that ran it died: {ends} × {kind} (crashes {crashes}, limit {crashes})",
        crashes,
    )


@pytest.mark.parametrize(
    ("name", "end", "how", "crash_limit", "deaths"),
    [
        ("OfTable", "exit", "exit 3", 3, 3),
        ("OfTableByHooks", "exit", "exit 3", 3, 3),
        ("OfTable", "segfault", "SIGSEGV", 3, 3),
        ("OfTable", "abort", "SIGABRT", 2, 2),
        ("OfTable", "kill", "SIGKILL", 1, 10),
    ],
)
def test_a_row_that_kills_its_workers_is_parked_and_all_others_are_done(
    place: Place, name: str, end: str, how: str, crash_limit: int, deaths: int
) -> None:
    poison = ROWS // 2 + 7
    master = place.start_on_table(records({poison: end}), name, crash_limit=crash_limit, workers=2)
    place.wait_states(master, done=ROWS - 1, dead=1)
    ends_of(master, how, deaths, crash_limit)
    numbers = place.numbers()
    assert set(numbers) == set(range(ROWS)) - {poison}
    again = sum(count - 1 for count in numbers.values())
    assert again <= BATCH_SIZE, "what comes before a known suspect is settled first: only the first death repeats it"
    assert len(place.events("task_suspected")) == deaths
    assert place.events("pool_failed") == []
    assert pool(master, name.lower())["suspects"] == 0
    assert stop(master) == 0


def test_rows_that_kill_at_the_very_start_do_not_fail_the_pool(place: Place) -> None:
    master = place.start_on_table(records({0: "exit", 1: "segfault", 2: "exit"}, 10), crash_limit=3)
    place.wait_states(master, done=7, dead=3)
    assert place.events("pool_failed") == []
    assert stop(master) == 0


def test_a_suspect_is_remembered_over_a_restart_of_the_master(place: Place) -> None:
    rows = records({0: "exit"}, 1)
    master = place.start_on_table(rows, crash_limit=1000)
    place.wait(master, lambda: len(place.events("task_suspected")) >= 3, lambda: "three deaths")
    wait_for(master, lambda found: [task["state"] for task in master.parked()] == ["suspect"], "the suspect's row")
    stop(master)
    (kept,) = _suspects_in(place)
    assert kept >= 2
    master = place.start_on_table(rows, crash_limit=kept)
    place.wait(master, lambda: place.states() == {"dead": 1}, lambda: "the row dead at once")
    later = [fact for fact in place.events("task_parked") if fact["state"] == "dead"]
    assert len(later) == 1
    assert stop(master) == 0


def _suspects_in(place: Place) -> list[int]:
    with contextlib.closing(sqlite3.connect(place.directory / "state" / "parked.sqlite")) as connection:
        return [crashes for (crashes,) in connection.execute("SELECT crashes FROM parked WHERE state = 'suspect'")]


def test_innocent_rows_survive_a_storm_of_kills(place: Place) -> None:
    count = kills = 0
    master = place.start_on_table([], workers=2, crash_limit=1)
    while kills < STORM:
        handled = len(place.numbers())
        if count - handled < IN_HAND:  # the workers are always busy when one of them is killed
            enqueue(place.database, [{"number": number, "end": "sleep"} for number in range(count, count + IN_HAND)])
            count += IN_HAND
        wanted = min(handled + 8, count)
        place.wait(
            master,
            lambda wanted=wanted: len(place.numbers()) >= wanted,
            lambda: f"progress, now {len(place.numbers())}",
        )
        slot = next((slot for slot in master.slots() if slot.is_running and slot.pid is not None), None)
        if slot is not None and slot.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(slot.pid, signal.SIGKILL)
            kills += 1
    place.wait_states(master, done=count)
    assert set(place.numbers()) == set(range(count))
    assert dead(master) == []
    assert stop(master) == 0


def test_a_record_that_kills_its_workers_does_not_hold_up_its_partition(
    place: Place, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic, count = kafka_topic("poisoned", 2), 200
    rows = records({50: "segfault", 51: "exit"}, count)
    produce(kafka.brokers, topic, [(row["number"] % 2, json.dumps(row).encode()) for row in rows])
    kafka_keys = {"brokers": kafka.brokers, "topic_name": topic, "consumer_group": topic}
    master = place.start("OfTopic", workers=2, crash_limit=3, **kafka_keys)
    place.wait(
        master, lambda: len(place.numbers()) == count - 2 and len(dead(master)) == 2, lambda: f"{len(place.numbers())}"
    )
    assert sorted(task["error"] for task in dead(master)) == [
        "the workers that ran it died: 3 × SIGSEGV (crashes 3, limit 3)",
        "the workers that ran it died: 3 × exit 3 (crashes 3, limit 3)",
    ]
    assert set(place.numbers()) == set(range(count)) - {50, 51}
    assert place.events("pool_failed") == []
    assert stop(master) == 0


def test_a_parked_record_that_kills_its_workers_at_its_retry_is_parked_as_dead(
    place: Place, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("poisoned")
    produce(kafka.brokers, topic, [(0, json.dumps(row).encode()) for row in records({1: "later"}, 3)])
    kafka_keys = {"brokers": kafka.brokers, "topic_name": topic, "consumer_group": topic}
    master = place.start("OfTopic", crash_limit=3, back_off_time=0.1, **kafka_keys)
    place.wait(master, lambda: len(dead(master)) == 1, lambda: "the record dead")
    ends_of(master, "exit 3", 3, 3)
    assert dead(master)[0]["attempts"] == 1 + 3
    assert set(place.numbers()) == {0, 2}
    assert stop(master) == 0
