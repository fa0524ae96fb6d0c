"""What a group has committed, asked by a client that belongs to the group and never joins it.

Runs in workers and the foreground; `probe` in processes of its own.

The admin client must not be asked for it: librdkafka ends the whole process where the answer comes after the question
was given up (librdkafka issues 3663 and 4605), or is that another broker coordinates the group (issue 5040).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from confluent_kafka import Consumer, TopicPartition

from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.questions import Questions
from consumerd.sources.kafka.settings import onlooker_settings

_LISTENED_AT_ONCE = 100


class Positions:
    """The committed offsets of the options' group. Its client is made with the first question, and kept."""

    def __init__(self, options: KafkaOptions, questions: Questions) -> None:
        self._options = options
        self._questions = questions
        self._client: Consumer | None = None

    def committed(self, partitions: Iterable[int], deadline: float) -> dict[int, int]:
        """The offset of each partition that the broker tells of, below 0 where there is none. Raises SourceError."""
        if self._client is None:
            self._client = Consumer({**onlooker_settings(self._options), "error_cb": self._questions.note})
        client, places = self._client, [TopicPartition(self._options.topic_name, number) for number in partitions]
        serve = partial(self._listen, client)
        found = self._questions.ask(lambda patience_s: client.committed(places, timeout=patience_s), serve, deadline)
        return {place.partition: place.offset for place in found if place.error is None}

    def _listen(self, client: Consumer) -> None:
        """No record comes to a client that is assigned nothing, but what its group says comes as a record's error."""
        for message in client.consume(_LISTENED_AT_ONCE, 0):
            error = message.error()
            if error is not None:
                self._questions.note(error)
