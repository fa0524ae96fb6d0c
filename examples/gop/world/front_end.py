"""The front end: `python -m world.front_end --load JSON --seconds N`, and GOP_DATABASE.

It writes logins and changes of accounts where the daemons find them, and begins payments. Half of the time little
happens, as before a launch; then all the rest comes at once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy.exc import OperationalError

from consumerd.sources.table.schema import enqueue
from gop_consumer import database, payment_manager
from gop_consumer.payment_manager import Payment
from world.load import Load, Truth, changes, logins, payments

ItemT = TypeVar("ItemT")

STEPS = 10
BEFORE_THE_SPIKE = 0.1


def spike(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    """A tenth of them in all steps but the last, which has the others."""
    early = int(len(items) * BEFORE_THE_SPIKE)
    for step in range(STEPS):
        yield items[early * step // STEPS : early * (step + 1) // STEPS]
    yield items[early:]


def produce(load: Load, seconds: float) -> None:
    path = os.environ["GOP_DATABASE"]
    for some_logins, some_changes, some_payments in zip(
        spike(logins(load)), spike(changes(load)), spike(payments(load)), strict=True
    ):
        enqueue(path, some_logins, "login_task")
        enqueue(path, some_changes, "account_change_task")
        for truth in some_payments:
            _begin(truth)
        time.sleep(seconds / STEPS)


def _begin(truth: Truth) -> None:
    payment = Payment(truth.payment_id, truth.app_id, truth.channel, truth.amount, truth.before)
    while True:
        try:
            with database.engine().begin() as connection:
                payment_manager.open_payment(connection, payment, account_id=1)
            return
        except OperationalError:
            time.sleep(0.05)  # SQLite has one writer; it was rolled back whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", type=json.loads, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    produce(Load(**arguments.load), arguments.seconds)


if __name__ == "__main__":
    main()
