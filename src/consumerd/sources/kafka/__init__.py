"""A Kafka topic, read by a consumer group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consumerd.errors import MissingExtraError
from consumerd.sources.contract import ShardLag, Source, SourceKind, Traits
from consumerd.sources.kafka.options import KafkaOptions

TRAITS = Traits(positional=True, unlimited_workers=False)


def _make() -> Source:
    try:
        from consumerd.sources.kafka.source import KafkaSource
    except ImportError as error:
        raise _missing(error) from error
    return KafkaSource()


def _probe(options: Mapping[str, object]) -> tuple[ShardLag, ...]:
    """The lag of all partitions, read without joining the group."""
    try:
        from consumerd.sources.kafka.topic import probe
    except ImportError as error:
        raise _missing(error) from error
    return probe(KafkaOptions.model_validate(dict(options)))


def _complaints(options: KafkaOptions) -> Iterable[tuple[str, str]]:
    """What librdkafka has against the properties."""
    try:
        from consumerd.sources.kafka.properties import complaints
    except ImportError as error:
        raise _missing(error) from error
    return complaints(options)


def _missing(error: ImportError) -> Exception:
    """What to raise for a failed import: another error where it is not the client that is missing."""
    is_client = error.name is not None and error.name.partition(".")[0] == "confluent_kafka"
    return MissingExtraError("A Kafka consumer", "kafka") if is_client else error


KIND = SourceKind(name="kafka", options=KafkaOptions, make=_make, traits=TRAITS, probe=_probe, complaints=_complaints)
