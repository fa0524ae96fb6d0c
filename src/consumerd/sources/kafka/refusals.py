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

_PASSES = """
_ALL_BROKERS_DOWN _TRANSPORT _RESOLVE _TIMED_OUT _TIMED_OUT_QUEUE _MSG_TIMED_OUT _WAIT_COORD _WAIT_CACHE _IN_PROGRESS
_PREV_IN_PROGRESS _ASSIGNMENT_LOST _MAX_POLL_EXCEEDED _UNKNOWN_PARTITION _UNKNOWN_BROKER _DESTROY _DESTROY_BROKER
_NO_OFFSET _STATE _RETRY _INTR _OUTDATED _NODE_UPDATE _LOG_TRUNCATION LEADER_NOT_AVAILABLE NOT_LEADER_FOR_PARTITION
FENCED_LEADER_EPOCH UNKNOWN_LEADER_EPOCH OFFSET_NOT_AVAILABLE OFFSET_OUT_OF_RANGE REPLICA_NOT_AVAILABLE
KAFKA_STORAGE_ERROR BROKER_NOT_AVAILABLE NETWORK_EXCEPTION REQUEST_TIMED_OUT NOT_ENOUGH_REPLICAS
NOT_ENOUGH_REPLICAS_AFTER_APPEND COORDINATOR_LOAD_IN_PROGRESS COORDINATOR_NOT_AVAILABLE NOT_COORDINATOR NOT_CONTROLLER
REBALANCE_IN_PROGRESS ILLEGAL_GENERATION UNKNOWN_MEMBER_ID MEMBER_ID_REQUIRED STALE_MEMBER_EPOCH FENCED_MEMBER_EPOCH
UNSTABLE_OFFSET_COMMIT THROTTLING_QUOTA_EXCEEDED UNKNOWN_TOPIC_ID INCONSISTENT_TOPIC_ID FETCH_SESSION_ID_NOT_FOUND
INVALID_FETCH_SESSION_EPOCH REBOOTSTRAP_REQUIRED
"""
_PASSING = frozenset(getattr(KafkaError, name) for name in _PASSES.split())
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
