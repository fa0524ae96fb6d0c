"""What an error of librdkafka means: it passes by itself, or somebody has to do something. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import KafkaError

from consumerd.errors import SourceAwayError, SourceError, SourceRefusedError
from consumerd.sources.kafka.options import KafkaOptions

# ruff: noqa: SLF001 - codes with an underscore are the client's public constants for its own errors
FENCED = frozenset((KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID))
FATAL = FENCED | {KafkaError._FATAL}

OF_THE_TOPIC: Mapping[int, str] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no topic {topic} at {brokers}: create it, or correct `topic_name`",
    KafkaError._UNKNOWN_TOPIC: "there is no topic {topic} at {brokers}: create it, or correct `topic_name`",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "reading the topic {topic} at {brokers} is not allowed: grant Read on it",
    KafkaError._AUTO_OFFSET_RESET: "the group {group} has no usable position in a partition of {topic}, and "
    "`auto_offset_reset` is error: set one, or say where to begin",
}
"""A member that has no partition, or not this one, is not told that these are over."""

OF_JOINING: Mapping[int, str] = {
    KafkaError.INVALID_GROUP_ID: "the brokers at {brokers} take no group {group}: correct `consumer_group`",
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "the group {group} has members that share partitions in another way: stop "
    "them, give them the assignor cooperative-sticky, or set another `consumer_group`",
    KafkaError.INVALID_SESSION_TIMEOUT: "the brokers at {brokers} refuse a session timeout of {session_timeout:g} s: "
    "set `session_timeout` within their group.min.session.timeout.ms and group.max.session.timeout.ms",
    KafkaError.GROUP_MAX_SIZE_REACHED: "the group {group} has as many members as the brokers allow (group.max.size): "
    "set fewer `workers`, or another `consumer_group`",
    KafkaError.UNSUPPORTED_VERSION: "the brokers at {brokers} are too old for what the group {group} needs",
}
"""Only that it joins shows that these are over: a member that is to join again is refused, and reads on meanwhile."""

_OTHERS: Mapping[int, str] = {
    KafkaError.GROUP_AUTHORIZATION_FAILED: "reading as the group {group} is not allowed at {brokers}: grant Read on it",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster at {brokers} does not allow it: grant what it asks for",
    KafkaError._AUTHENTICATION: "the brokers at {brokers} refuse the credentials: correct the sasl.* or ssl.* keys",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the brokers at {brokers} refuse the credentials: correct the sasl.* keys",
    KafkaError._SSL: "TLS with the brokers at {brokers} fails: correct the ssl.* keys",
}

_SENTENCES = {**OF_THE_TOPIC, **OF_JOINING, **_OTHERS}
_ANY = "the brokers at {brokers} do not serve {topic} to the group {group}"

_PASSING = frozenset(
    (
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_BROKER,
        KafkaError._DESTROY,
        KafkaError._DESTROY_BROKER,
        KafkaError._NO_OFFSET,
        KafkaError._STATE,
        KafkaError._RETRY,
        KafkaError._INTR,
        KafkaError._OUTDATED,
        KafkaError._NODE_UPDATE,
        KafkaError._LOG_TRUNCATION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_CONTROLLER,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.MEMBER_ID_REQUIRED,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError.FETCH_SESSION_ID_NOT_FOUND,
        KafkaError.INVALID_FETCH_SESSION_EPOCH,
        KafkaError.REBOOTSTRAP_REQUIRED,
    )
)
"""Errors that librdkafka gets over by itself: elections, rebalances, lost connections. Any other is told to people."""


def is_final(error: KafkaError) -> bool:
    """Whether the client that reported it is of no more use."""
    return error.code() in FATAL or error.fatal()


def is_fencing(error: KafkaError) -> bool:
    """Whether a member was fenced; librdkafka may tell of it as of any fatal error, with the broker's words in it."""
    return error.code() in FENCED or KafkaError(KafkaError.FENCED_INSTANCE_ID).str() in error.str()


def translate(error: KafkaError, options: KafkaOptions) -> SourceError:
    """The error in a sentence: SourceRefusedError where a person has to act, SourceAwayError where it passes."""
    names = {
        "topic": options.topic_name,
        "group": options.consumer_group,
        "brokers": options.brokers,
        "session_timeout": options.session_timeout,
    }
    if is_final(error):
        return SourceRefusedError(f"Kafka ended this member of {options.topic_name} for good: {words(error)}")
    sentence = _SENTENCES.get(error.code(), _ANY).format(**names)
    is_passing = error.code() in _PASSING
    return (SourceAwayError if is_passing else SourceRefusedError)(f"{sentence} ({words(error)})")


def words(error: KafkaError) -> str:
    """What librdkafka calls it, and says of it."""
    return f"{error.name()}: {error.str()}"
