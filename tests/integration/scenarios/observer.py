"""Looks on from outside, with clients of its own: what a group has committed, its members, what a topic holds."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

REQUEST_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 2 * REQUEST_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group: its `group.instance.id`, and the partitions that it holds."""

    instance: str
    partitions: frozenset[int]

    @property
    def slot(self) -> int:
        """The slot, which is the last part of the instance's name."""
        return int(self.instance.rpartition(".")[2])


class GroupObserver:
    """One group on one topic."""

    def __init__(self, brokers: str, *, topic: str, group: str) -> None:
        self.topic = topic
        self.group = group
        self.trouble: Exception | None = None  # of the last question, for a message of a test that failed
        self._brokers = brokers
        self._retired: list[AdminClient] = []  # kept: one that goes while a question of its is open ends the process
        self._admin = self._connect()

    def committed(self) -> dict[int, int]:
        """The committed offset of each partition that has one; empty while the broker is away."""
        wanted = ConsumerGroupTopicPartitions(self.group)
        try:
            future = self._admin.list_consumer_group_offsets([wanted], request_timeout=REQUEST_TIMEOUT_S)[self.group]
            partitions = future.result(ANSWER_TIMEOUT_S).topic_partitions
        except (KafkaException, TimeoutError) as error:
            self._note(error)
            return {}
        return {
            partition.partition: partition.offset
            for partition in partitions
            if partition.topic == self.topic and partition.offset >= 0
        }

    def committed_total(self) -> int:
        """How many records are below the committed offsets, of a topic that starts at 0."""
        return sum(self.committed().values())

    def ends(self, partition_count: int) -> dict[int, int]:
        """The end offset of each partition."""
        wanted = {TopicPartition(self.topic, number): OffsetSpec.latest() for number in range(partition_count)}
        futures = self._admin.list_offsets(wanted, request_timeout=REQUEST_TIMEOUT_S)
        return {partition.partition: future.result(ANSWER_TIMEOUT_S).offset for partition, future in futures.items()}

    def members(self) -> tuple[Member, ...]:
        """The group's members; empty while the broker is away."""
        try:
            futures = self._admin.describe_consumer_groups([self.group], request_timeout=REQUEST_TIMEOUT_S)
            described = futures[self.group].result(ANSWER_TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            self._note(error)
            return ()
        return tuple(
            Member(
                instance=member.group_instance_id or "",
                partitions=frozenset(
                    partition.partition
                    for partition in member.assignment.topic_partitions
                    if partition.topic == self.topic
                ),
            )
            for member in described.members
        )

    def _connect(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._brokers, "log_level": 0})

    def _note(self, error: Exception) -> None:
        """Ask with a new client next time: one that was connected to a stopped broker holds on to what it knew."""
        self.trouble = error
        self._retired.append(self._admin)
        self._admin = self._connect()
