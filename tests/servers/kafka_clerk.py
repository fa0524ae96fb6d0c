"""The clerk of one broker: `python -m servers.kafka_clerk BROKERS` has Kafka clients, so that the tests need none.

librdkafka's admin client ends its process where a broker that was away answers a question about a group (its issues
3663, 4605 and 5040), and the tests take brokers away. Answers as `servers.clerk` says, until its input ends.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from servers.waiting import wait_until

TOPIC_S = 30.0
REQUEST_S = 5.0
ANSWER_S = 2 * REQUEST_S
_LOOK_S = 1.0


class _KafkaClerk:
    """Each public method answers the question of its name."""

    def __init__(self, brokers: str) -> None:
        self._settings: dict[str, Any] = {"bootstrap.servers": brokers, "log_level": 0}  # Any: as the clients take it
        self._admin: AdminClient | None = None
        self._onlookers: dict[str, Consumer] = {}
        self._partitions: dict[str, list[int]] = {}

    def is_serving(self) -> bool:
        """Whether the broker answers at this moment."""
        try:
            return bool(self._fresh_admin().list_topics(timeout=_LOOK_S).brokers)
        except KafkaException:
            return False

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic and wait until each of its partitions is served."""
        admin = self._fresh_admin()
        admin.create_topics([NewTopic(name, partitions, 1, config=dict(config))])[name].result(TOPIC_S)
        self.ends(name, partitions)

    def allow(self, user: str, kind: str, name: str, right: str) -> None:
        """Add an ACL."""
        binding = AclBinding(
            ResourceType[kind],
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[right],
            AclPermissionType.ALLOW,
        )
        admin = self._fresh_admin()  # has to outlive the call
        for future in admin.create_acls([binding]).values():
            future.result(ANSWER_S)

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        admin = self._fresh_admin()  # has to outlive the call
        admin.delete_topics([name])[name].result(TOPIC_S)

    def committed(self, topic: str, group: str) -> list[tuple[int, int]]:
        """(partition, the group's offset) where it has one."""
        if group not in self._onlookers:
            self._onlookers[group] = Consumer({**self._settings, "group.id": group, "enable.auto.commit": False})
        onlooker = self._onlookers[group]
        if topic not in self._partitions:
            self._partitions[topic] = list(onlooker.list_topics(topic, timeout=REQUEST_S).topics[topic].partitions)
        wanted = [TopicPartition(topic, number) for number in self._partitions[topic]]
        places = onlooker.committed(wanted, timeout=REQUEST_S)
        return [(place.partition, place.offset) for place in places if place.error is None and place.offset >= 0]

    def ends(self, topic: str, partitions: int) -> list[tuple[int, int]]:
        """(partition, end offset) of so many, once the leader of each serves it."""
        admin = self._fresh_admin()  # another may hold on to the leaders of before a restart
        wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(partitions)}

        def found() -> list[tuple[int, int]] | None:
            futures = admin.list_offsets(wanted, request_timeout=REQUEST_S)
            try:
                return [(place.partition, future.result(ANSWER_S).offset) for place, future in futures.items()]
            except KafkaException:
                return None

        ends = wait_until(found, TOPIC_S, f"the {partitions} partitions of {topic} are not served")
        assert ends is not None
        return ends

    def members(self, topic: str, group: str) -> list[tuple[str, list[int]]]:
        """(`group.instance.id`, partitions) of each member."""
        future = self._kept_admin().describe_consumer_groups([group], request_timeout=REQUEST_S)[group]
        return [
            (
                member.group_instance_id or "",
                [place.partition for place in member.assignment.topic_partitions if place.topic == topic],
            )
            for member in future.result(ANSWER_S).members
        ]

    def forget_clients(self) -> None:
        """After trouble: a client that was connected to a stopped broker backs off, and holds on to what it knew."""
        self._admin = None
        self._onlookers.clear()

    def _kept_admin(self) -> AdminClient:
        self._admin = self._admin or self._fresh_admin()
        return self._admin

    def _fresh_admin(self) -> AdminClient:
        return AdminClient(self._settings)


def _answer(clerk: _KafkaClerk, line: str) -> dict[str, object]:
    name, arguments = json.loads(line)
    question: Callable[..., object] = getattr(clerk, name)
    try:
        return {"answer": question(**arguments)}
    except (KafkaException, TimeoutError) as error:
        clerk.forget_clients()
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer until there are no more questions."""
    clerk = _KafkaClerk(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(_answer(clerk, line)), flush=True)
    os._exit(0)  # with questions open or not: no client is worth waiting for


if __name__ == "__main__":
    main()
