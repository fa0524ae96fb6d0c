"""Update login grant time: a loop over the topic `login_task`."""

from __future__ import annotations

import json
import logging
import os

from confluent_kafka import Consumer

from gop_consumer import grant_manager

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
log = logging.getLogger("login_grants")


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["GOP_BROKERS"],
            "group.id": "login_consumer",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["login_task"])
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            log.error("kafka_error|%s", message.error())
            continue
        try:
            record = json.loads(message.value() or b"")
            grant_manager.update_grant_use_time(record["platform"], record["uid"], record["app_id"], record["now"])
        except Exception:
            log.exception("update_grant_error|offset=%d,value=%r", message.offset(), message.value())


if __name__ == "__main__":
    main()
