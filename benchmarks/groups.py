"""When every member of a Kafka consumer group has its partitions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

JOINS_WITHIN_S = 90.0
LOOK_S = 0.5


def await_joined(brokers: str, group: str, members: int) -> None:
    """Wait until so many members have a partition each."""
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers})
    deadline = time.monotonic() + JOINS_WITHIN_S
    having = 0
    while having != members:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{having} of {members} members had a partition within {JOINS_WITHIN_S:g} s")
        time.sleep(LOOK_S)
        having = _having(admin, group)


def _having(admin: AdminClient, group: str) -> int:
    """How many members of a stable group have partitions; 0 while its coordinator has still to be found."""
    from confluent_kafka import ConsumerGroupState, KafkaException

    try:
        found = admin.describe_consumer_groups([group])[group].result(timeout=30)
    except KafkaException:
        return 0
    if found.state is not ConsumerGroupState.STABLE:
        return 0
    return sum(bool(member.assignment.topic_partitions) for member in found.members)
