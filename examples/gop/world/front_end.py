"""Those who give the daemons their tasks: `python -m world.front_end WHAT --load JSON --seconds N --ledger FILE`.

logins: the login front end, which writes to Kafka in the place of the database. changes: the games, which write the
changes of accounts. payments: the shop, which begins payments, in the database of GOP_DATABASE. Without GOP_BROKERS
claimed tables stand for the topics. The ledger says how much there was when.

It is the day of a launch: for a while little happens, then twenty times as much within a second, then little again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError, OperationalError

from consumerd.sources.table.schema import enqueue
from gop_consumer import database, payment_manager
from gop_consumer.payment_manager import Payment
from world.ledger import Ledger
from world.load import Load, Record, Truth, changes, logins, payments

TOPICS = {"logins": ("login_task", "uid"), "changes": ("account_change", "account_id")}
"""The topic of each, and the field of a record that is the key."""
TICK_S = 0.1
SPIKE_FROM, SPIKE_UNTIL, TIMES = 0.3, 0.4, 20
FLUSH_S, AGAIN_S = 120.0, 0.05

Give = Callable[[Sequence[Any]], None]  # logins, changes or payments


def share(passed: float) -> float:
    """How much of all tasks is there when this part of the time has passed."""
    weight = passed + (TIMES - 1) * max(0.0, min(passed, SPIKE_UNTIL) - SPIKE_FROM)
    return min(1.0, weight / (1 + (TIMES - 1) * (SPIKE_UNTIL - SPIKE_FROM)))


def produce(items: Sequence[Any], seconds: float, give: Give, ledger: Ledger) -> None:
    began, given = time.monotonic(), 0
    while given < len(items):
        due = int(len(items) * share((time.monotonic() - began) / seconds))
        if due > given:
            ledger.note(at=time.time(), produced=due)
            give(items[given:due])
            given = due
        time.sleep(TICK_S)


@contextmanager
def topic(name: str, key: str) -> Iterator[Give]:
    """The broker has all of it at the end of the block."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": os.environ["GOP_BROKERS"], "enable.idempotence": True, "linger.ms": 20})

    def give(records: Sequence[Record | bytes]) -> None:
        for record in records:
            if isinstance(record, bytes):
                producer.produce(name, record)
            else:
                producer.produce(name, json.dumps(record), str(record[key]))
        producer.poll(0)

    yield give
    if left := producer.flush(FLUSH_S):
        raise SystemExit(f"{name}: the broker has not taken {left} messages")


@contextmanager
def place_of(what: str) -> Iterator[Give]:
    """Where the daemons find it."""
    if what == "payments":
        yield _begin
    elif "GOP_BROKERS" in os.environ:
        with topic(*TOPICS[what]) as give:
            yield give
    else:
        yield partial(_enqueue, f"{TOPICS[what][0]}_row")


def _enqueue(table: str, records: Sequence[Record | bytes]) -> None:
    enqueue(os.environ["GOP_DATABASE"], records, table)


def _begin(truths: Sequence[Truth]) -> None:
    for truth in truths:
        payment = Payment(truth.payment_id, truth.app_id, truth.channel, truth.amount, truth.before)
        while not _is_begun(payment):
            time.sleep(AGAIN_S)


def _is_begun(payment: Payment) -> bool:
    try:
        with database.engine().begin() as connection:
            payment_manager.open_payment(connection, payment, account_id=1)
    except OperationalError:  # it is away, or has one writer: it was rolled back whole, or is there
        return False
    except IntegrityError:
        return True
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*TOPICS, "payments"])
    parser.add_argument("--load", type=json.loads, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--ledger", type=Path, required=True)
    arguments = parser.parse_args()
    made: dict[str, Callable[[Load], Sequence[Any]]] = {"logins": logins, "changes": changes, "payments": payments}
    with place_of(arguments.what) as give:
        produce(made[arguments.what](Load(**arguments.load)), arguments.seconds, give, Ledger(arguments.ledger))


if __name__ == "__main__":
    main()
