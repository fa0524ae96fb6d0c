"""Records that nobody should have produced, among good ones: each parked with its bytes and one clear line."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from integration.scenarios.ledger_consumers import read_attempts
from integration.scenarios.observer import GroupObserver
from integration.scenarios.running import Answer, Running, environment, running
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until

GROUP = "bad_input"
PARTITIONS = 2
LARGEST_RECORD = 4 * 1024 * 1024
END_S = 60.0

CONFIG = """
[[scenario]]
class = "integration.scenarios.ledger_consumers:LedgerConsumer"

[scenario.configs]
workers = 2
brokers = "{brokers}"
topic_name = "{topic}"
consumer_group = "{group}"
ledger = "{ledger}"
"""

BAD: dict[str, bytes] = {
    "not JSON": b"login of 7 at noon",
    "cut short": b'{"name": "cut',
    "a list": b'[{"name": "inside"}]',
    "a text": b'"name"',
    "a number": b"7",
    "null": b"null",
    "above the payload limit": json.dumps({"name": "x" * (1024 * 1024 + 1)}).encode(),
    "a field missing": b'{"title": "no name"}',
    "no UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "wide"}'.encode("utf-16"),
    "only bytes": bytes(range(256)),
    "empty": b"",
    "a schema registry's": b"\0\0\0\0\x07\x02\x06uid",
    "nested": b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a million digits": b'{"name": ' + b"7" * 1_000_000 + b"}",
    "NaN": b'{"name": NaN}',
    "a bare control character": b'{"name": "a\x01b"}',
    "half a surrogate pair": b'{"name": "\\ud800"}',
}
GOOD: dict[str, bytes] = {
    "duplicate keys, the last counts": b'{"name": "first", "name": "duplicate"}',
    "an escaped control character": b'{"name": "nul \\u0000 inside"}',
    "a megabyte, just allowed": json.dumps({"name": "large", "filling": "x" * (1024 * 1024 - 100)}).encode(),
}
GOOD_NAMES = {"duplicate", "nul \0 inside", "large"}


@dataclass(frozen=True)
class Produced:
    """What went into the topic: where each bad record is, and how often each good name."""

    bad: dict[tuple[int, int], str]  # (partition, offset): its title in BAD
    good: Counter[str]


def produce(brokers: str, topic: str) -> Produced:
    """All bad records in both partitions, each between two good ones."""
    in_order = {"enable.idempotence": True}  # whatever has to be sent again: the offsets below count on it
    producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": LARGEST_RECORD, **in_order})
    bad: dict[tuple[int, int], str] = {}
    good = Counter(dict.fromkeys(GOOD_NAMES, PARTITIONS))
    for partition in range(PARTITIONS):
        offset = 0
        for title, value in (*BAD.items(), *GOOD.items()):
            neighbour = f"{partition}, before {title}"
            good[neighbour] += 1
            producer.produce(topic, json.dumps({"name": neighbour}).encode(), partition=partition)
            producer.produce(topic, value, key=b"key \xff", partition=partition)
            if title in BAD:
                bad[partition, offset + 1] = title
            offset += 2
        producer.produce(topic, None, partition=partition)  # a tombstone, which nobody asks for
        producer.produce(topic, json.dumps({"name": f"{partition}, the last"}).encode(), partition=partition)
        good[f"{partition}, the last"] += 1
    assert producer.flush(30) == 0
    return Produced(bad, good)


def shown_raw(master: Running, handle: str) -> bytes:
    """The record as `parked show --raw` gives it."""
    done = master.verb("parked", "show", handle, "--raw")
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_place(parked: list[Answer]) -> dict[tuple[int, int], Answer]:
    return {(task["shard"], task["position"]): task for task in parked}


@pytest.mark.timeout(240)
def test_bad_records_are_parked_byte_for_byte_and_those_behind_them_are_handled(
    kafka: KafkaServer, kafka_topic: TopicFactory, state_dir: Path, tmp_path: Path
) -> None:
    topic = kafka_topic("bad-input", PARTITIONS, {"max.message.bytes": str(LARGEST_RECORD)})
    produced = produce(kafka.brokers, topic)
    ledger = tmp_path / "attempts.jsonl"
    config = tmp_path / "bad_input.toml"
    config.write_text(CONFIG.format(brokers=kafka.brokers, topic=topic, group=GROUP, ledger=ledger))
    group = GroupObserver(kafka.clerk, topic=topic, group=GROUP)
    ends = group.ends(PARTITIONS)
    with running(str(config), state_dir=state_dir, log=tmp_path / "log", env=environment()) as master:
        wait_until(
            lambda: group.committed() == ends,
            deadline_s=END_S,
            message=lambda: f"all settled, now {group.committed()} of {ends}{master.tail()}",
        )
        handled = Counter(attempt.name for attempt in read_attempts(ledger))
        assert handled == produced.good
        parked = by_place(master.parked())
        assert set(parked) == set(produced.bad)
        for place, title in produced.bad.items():
            assert_parked_well(master, parked[place], title)
        retry_all(master, parked)
        discard_all(master)
        assert master.stop() == 0, master.tail()


def assert_parked_well(master: Running, task: Answer, title: str) -> None:
    """Dead, after at most one attempt, with one clear line, and with every byte."""
    assert task["state"] == "dead", title
    assert task["error"].strip(), title
    assert "\n" not in task["error"], title
    assert shown_raw(master, task["handle"]) == BAD[title], title


def retry_all(master: Running, before: dict[tuple[int, int], Answer]) -> None:
    """`parked retry`: each is tried once more, and parked again. What cannot be decoded never reaches the handler."""
    done = master.verb("parked", "retry", "--all", "--target", "scenario")
    assert done.returncode == 0, done.stderr
    wait_until(
        lambda: all(is_parked_again(task, before[place]) for place, task in by_place(master.parked()).items()),
        deadline_s=END_S,
        message=lambda: f"all dead again, now {master.parked()[:3]}{master.tail()}",
    )
    assert set(by_place(master.parked())) == set(before)


def is_parked_again(task: Answer, before: Answer) -> bool:
    more = 0 if "UndecodableError" in before["error"] else 1
    is_later: bool = task["last_at"] > before["last_at"]
    is_counted: bool = task["attempts"] == before["attempts"] + more
    return is_later and is_counted and task["state"] == "dead"


def discard_all(master: Running) -> None:
    """`parked discard`: first one, then all."""
    first, *others = master.parked()
    assert master.verb("parked", "discard", first["handle"]).returncode == 0
    assert {task["handle"] for task in master.parked()} == {task["handle"] for task in others}
    assert master.verb("parked", "discard", "--all").returncode == 0
    assert master.parked() == []
