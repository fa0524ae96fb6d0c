"""Update user game account: a loop over the topic `account_change`, a batch at a time."""

from __future__ import annotations

import json
import logging
import os
import signal
import time

from confluent_kafka import Consumer

from gop_consumer import account_manager, database
from gop_consumer.account_manager import Change

BATCH = 100
TRIES = 3

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
log = logging.getLogger("accounts")
running = True


def stop(signum: int, frame: object) -> None:
    global running
    running = False


def handle(value: bytes) -> None:
    change = Change(**json.loads(value))
    with database.engine().begin() as connection:
        account_manager.apply_change(connection, change)


def handle_with_retries(value: bytes) -> None:
    for tried in range(1, TRIES + 1):
        try:
            handle(value)
            return
        except Exception:
            log.exception("account_change_error|tried=%d,value=%r", tried, value)
            time.sleep(0.5 * tried)
    log.error("account_change_given_up|value=%r", value)


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["GOP_BROKERS"],
            "group.id": "account_consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["account_change"])
    while running:
        messages = consumer.consume(BATCH, timeout=1.0)
        for message in messages:
            if message.error():
                log.error("kafka_error|%s", message.error())
            else:
                handle_with_retries(message.value() or b"")
        if messages:
            consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main()
