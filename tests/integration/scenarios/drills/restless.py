"""A member of a consumer group that joins, stays for a moment, leaves, and joins again, for ever.

`python -m integration.scenarios.drills.restless BROKERS TOPIC GROUP`
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Consumer

STAYS_S = 1.5


def main() -> None:
    brokers, topic, group = sys.argv[1:]
    properties = {
        "bootstrap.servers": brokers,
        "group.id": group,
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
    }
    while True:
        consumer = Consumer(properties)
        consumer.subscribe([topic])
        until = time.monotonic() + 2 * STAYS_S
        while time.monotonic() < until:
            consumer.poll(0.1)
        consumer.close()
        time.sleep(STAYS_S)


if __name__ == "__main__":
    main()
