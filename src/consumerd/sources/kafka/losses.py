"""Records that were deleted before they were handled: the topic's retention was quicker. Runs in workers.

A gap between two records of a partition says little: compaction and transaction markers leave such gaps too. It is a
loss where the partition's log begins within the gap.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumerd import events
from consumerd.sources.kafka.membership import Membership

EARLIEST = -2
"""Kafka's word for the begin of a partition, in place of a time."""

LOOK_S = 30.0
"""Between two looks: where transactions or compaction leave gaps everywhere, each look costs the loop a request."""

ANSWER_S = 1.0


class Losses:
    """Looks at the gaps that were found, now and then, and tells of those that are losses."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._gaps: dict[int, tuple[int, int]] = {}
        self._next_look = 0.0

    def note_gap(self, partition: int, expected: int, found: int) -> None:
        """A record came from `found`, where one from `expected` on might have come. Under the state lock."""
        self._gaps.setdefault(partition, (expected, found))

    @property
    def is_due(self) -> bool:
        """Whether there are gaps, and it is time to look."""
        return bool(self._gaps) and self._membership.clock.monotonic() >= self._next_look

    def look(self, client: Consumer) -> None:
        """Ask where the partitions begin. Under the client's lock."""
        self._next_look = self._membership.clock.monotonic() + LOOK_S
        with self._membership.state:
            gaps, self._gaps = self._gaps, {}
        try:
            places = [TopicPartition(self._membership.topic, partition, EARLIEST) for partition in gaps]
            begins = {place.partition: place.offset for place in client.offsets_for_times(places, timeout=ANSWER_S)}
        except KafkaException:
            return  # the loss stays untold, as it does where nobody may ask
        for partition, (expected, found) in gaps.items():
            if expected < begins[partition] <= found:
                self._membership.emit(
                    events.records_deleted(
                        topic=self._membership.topic,
                        partition=partition,
                        records=begins[partition] - expected,
                        first=expected,
                        then="they were never handled: keep the topic's records for longer, or add workers",
                    )
                )
