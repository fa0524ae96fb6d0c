"""What a group has committed, asked by a client that belongs to the group and never joins it.

Runs in workers and the foreground; `probe` in processes of its own.

The admin client must not be asked for it: librdkafka ends the whole process where the answer comes after the question
was given up (librdkafka issues 3663 and 4605), or is that another broker coordinates the group (issue 5040).
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.settings import onlooker_settings

_DRAINED_AT_ONCE = 100


class Positions:
    """The committed offsets of the options' group. Its client is made with the first question, and kept."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._client: Consumer | None = None

    def committed(self, partitions: Iterable[int], timeout_s: float) -> dict[int, int]:
        """The offset of each partition that the broker tells of, below 0 where there is none. Raises KafkaException."""
        if self._client is None:
            self._client = Consumer(onlooker_settings(self._options))
        self._client.consume(_DRAINED_AT_ONCE, 0)  # no record comes, only what the client has to report, for nobody
        places = [TopicPartition(self._options.topic_name, partition) for partition in partitions]
        found = self._client.committed(places, timeout=timeout_s)
        return {place.partition: place.offset for place in found if place.error is None}
