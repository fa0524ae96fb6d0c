"""A Kafka topic, read by a consumer group. Its client is imported where it is needed, and not before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from consumerd.errors import MissingExtraError
from consumerd.sources.askable import Askable, AskContext
from consumerd.sources.contract import ShardLag, Source, SourceKind, Traits
from consumerd.sources.kafka.options import KafkaOptions

TRAITS = Traits(positional=True, unlimited_workers=False)


@contextmanager
def _client_needed() -> Iterator[None]:
    """Raises MissingExtraError where what is missing for an import is the client."""
    try:
        yield
    except ImportError as error:
        is_client = error.name is not None and error.name.partition(".")[0] == "confluent_kafka"
        raise (MissingExtraError("A Kafka consumer", "kafka") if is_client else error) from error


def _make() -> Source:
    with _client_needed():
        from consumerd.sources.kafka.source import KafkaSource
    return KafkaSource()


def _probe(options: Mapping[str, object]) -> tuple[ShardLag, ...]:
    """The lag of all partitions, read without joining the group."""
    with _client_needed():
        from consumerd.sources.kafka.topic import Topic
    return Topic(KafkaOptions.model_validate(dict(options))).lag()


def _complaints(options: KafkaOptions) -> Iterable[tuple[str, str]]:
    """What librdkafka has against the properties."""
    with _client_needed():
        from consumerd.sources.kafka.properties import complaints
    return complaints(options)


def _ask(context: AskContext) -> Askable:
    with _client_needed():
        from consumerd.sources.kafka.asked import AskedTopic
    return AskedTopic(context)


KIND = SourceKind(
    name="kafka",
    options=KafkaOptions,
    make=_make,
    traits=TRAITS,
    probe=_probe,
    complaints=_complaints,
    ask=_ask,
)
