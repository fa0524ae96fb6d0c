"""Produces login records, in a process of its own: `python produce_logins.py --brokers … --topic … --count …`.

The records are a function of the seed. What they say, the newest `now` for each platform, uid and app_id, goes to the
file `--expected`: the oracle, which owes nothing to any consumer.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer

FIRST_NOW = 1_700_000_000
LOGINS_A_SECOND = 50
LATENESS_S = 600
LOGINS_A_USER = 40
PLATFORMS = (1, 2, 3)
APP_IDS = (100067, 100068, 100069, 100070)

OnDelivery = Callable[[KafkaError | None, Message], None]
Grant = tuple[int, int, int]
"""platform, uid, app_id."""


@dataclass(frozen=True, slots=True)
class Login:
    """One record, with the keys that the seed reads."""

    platform: int
    uid: int
    app_id: int
    now: int

    @property
    def grant(self) -> Grant:
        return self.platform, self.uid, self.app_id


def logins(count: int, seed: int) -> Iterator[Login]:
    """`count` records, the same for the same seed; `now` moves on, but a record may be up to ten minutes late."""
    chance = random.Random(seed)
    users = max(1, count // LOGINS_A_USER)
    for number in range(count):
        yield Login(
            platform=chance.choice(PLATFORMS),
            uid=chance.randrange(users),
            app_id=chance.choice(APP_IDS),
            now=FIRST_NOW + number // LOGINS_A_SECOND - chance.randrange(LATENESS_S),
        )


def newest(records: Iterator[Login]) -> dict[Grant, int]:
    """What the records say: the newest `now` for each grant."""
    expected: dict[Grant, int] = {}
    for login in records:
        expected[login.grant] = max(login.now, expected.get(login.grant, 0))
    return expected


def write_expected(expected: dict[Grant, int], path: Path) -> None:
    """One JSON line a grant: [platform, uid, app_id, now]."""
    path.write_text("".join(f"{json.dumps([*grant, now])}\n" for grant, now in sorted(expected.items())))


def read_expected(path: Path) -> dict[Grant, int]:
    """The inverse of `write_expected`."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {(platform, uid, app_id): now for platform, uid, app_id, now in rows}


def produce(brokers: str, topic: str, records: Iterator[Login]) -> int:
    """Produce all of them, each exactly once and keyed by user; how many the broker confirmed."""
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 20})
    confirmed = 0

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        nonlocal confirmed
        if error is not None:
            raise SystemExit(f"a record was not delivered to {topic}: {error}")
        confirmed += 1

    for login in records:
        _send(producer, topic, login, on_delivery)
    producer.flush()
    return confirmed


def _send(producer: Producer, topic: str, login: Login, on_delivery: OnDelivery) -> None:
    value = json.dumps(asdict(login))
    while True:
        try:
            producer.produce(topic, value=value, key=str(login.uid), on_delivery=on_delivery)
        except BufferError:  # the queue is full: let the broker catch up
            producer.poll(1.0)
        else:
            producer.poll(0)
            return


def main() -> None:
    """Write what is expected, then produce."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--expected", type=Path, required=True)
    arguments = parser.parse_args()
    write_expected(newest(logins(arguments.count, arguments.seed)), arguments.expected)
    confirmed = produce(arguments.brokers, arguments.topic, logins(arguments.count, arguments.seed))
    if confirmed != arguments.count:
        raise SystemExit(f"{confirmed} of {arguments.count} records were confirmed")


if __name__ == "__main__":
    main()
