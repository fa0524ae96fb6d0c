"""The Kafka source on a real broker, by the contract of all sources."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from consumerd.clock import monotonic
from consumerd.sources.contract import Source, SourceContext
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.source import KafkaSource
from consumerd.testing.source_contract import PATIENCE_S, SourceContract
from servers.kafka import KafkaServer, TopicFactory


class KafkaFeed:
    """A topic of one partition, and a group of its own."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._options = KafkaOptions(brokers=brokers, topic_name=topic, consumer_group=uuid.uuid4().hex)
        self._producer = Producer({"bootstrap.servers": brokers})
        self._sources: list[Source] = []

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        for record in records:
            self._producer.produce(self._options.topic_name, json.dumps(record).encode())
        self._producer.flush(PATIENCE_S)

    def open(self, context: SourceContext) -> Source:
        source = KafkaSource()
        source.open(replace(context, options=self._options))
        self._sources.append(source)
        return source

    def close(self) -> None:
        for source in self._sources:
            source.close(monotonic() + PATIENCE_S)


class TestKafkaSource(SourceContract):
    @pytest.fixture
    def feed(self, kafka: KafkaServer, kafka_topic: TopicFactory) -> Iterator[KafkaFeed]:
        feed = KafkaFeed(kafka.brokers, kafka_topic("contract"))
        yield feed
        feed.close()
