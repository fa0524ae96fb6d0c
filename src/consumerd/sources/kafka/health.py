"""Whether the group gives this member records, and if not, why. Runs in workers.

librdkafka goes on trying whatever happens, and tells of most things once: that all brokers are down, that the group
may not be read, that a partition may not. So what was heard stands until something shows that it is over: of the
group an assignment, a commit or an answered question; of a partition a record. A refusal that stands for GRACE_S
ends the worker: the next one begins with a client that knows nothing yet.

A fencing says that another process has this slot's identity. But for one: librdkafka sends a commit or a heartbeat
again that it made before it lost its session, with the member id of that time, and takes the broker's answer to it,
that the identity has a newer member, for its own end, though the newer member is itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping
from enum import Enum

from confluent_kafka import KafkaError, Message

from consumerd import events
from consumerd.clock import Clock
from consumerd.errors import SourceAwayError, SourceError, SourceRefusedError
from consumerd.events.facts import Fact
from consumerd.sources.kafka.options import KafkaOptions

# ruff: noqa: SLF001 - codes with an underscore are the client's public constants for its own errors
GRACE_S = 10.0
"""How long a refusal may stand: some pass by themselves while a cluster starts, or a topic is made."""

JOIN_S = 5.0
"""How long the group may take to let a member in before that is told."""

ECHO_S = 60.0
"""How long after joining anew a request of the lost session may still be answered: librdkafka's `socket.timeout.ms`."""

JOINING, GROUP, TOPIC = -3, -2, -1
"""Where something was refused, if that is no partition."""

_FENCED = frozenset((KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID))
_FATAL_CODES = _FENCED | {KafkaError._FATAL}

_OF_THE_TOPIC: Mapping[int, str] = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no topic {topic} at {brokers}: create it, or correct `topic_name`",
    KafkaError._UNKNOWN_TOPIC: "there is no topic {topic} at {brokers}: create it, or correct `topic_name`",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "reading the topic {topic} at {brokers} is not allowed: grant Read on it",
    KafkaError._AUTO_OFFSET_RESET: "the group {group} has no usable position in a partition of {topic}, and "
    "`auto_offset_reset` is error: set one, or say where to begin",
}
"""A member that has no partition, or not this one, is not told that these are over."""

_OF_JOINING: Mapping[int, str] = {
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

_SENTENCES = {**_OF_THE_TOPIC, **_OF_JOINING, **_OTHERS}
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


class Fencing(Enum):
    """Why the brokers take nothing more of a member with a fixed identity: a newer member has it."""

    BY_ITSELF = "a request of a lost session was answered late"
    BY_ANOTHER = "another process has this worker's identity"


class Health:
    """What is known of the brokers and the group. Noted in callbacks, judged in `fetch`."""

    def __init__(
        self, options: KafkaOptions, assigned: Container[int], emit: Callable[[Fact], None], clock: Clock
    ) -> None:
        """assigned: the partitions that are ours now."""
        self._options = options
        self._assigned = assigned
        self._emit = emit
        self._clock = clock
        self._refusals: dict[int, SourceRefusedError] = {}
        self._refused_at = 0.0
        self._final: SourceRefusedError | None = None
        self._silence = ""
        self._last_words = ""
        self.is_joined = self._is_lost = False
        self._late_at = self._clock.monotonic() + JOIN_S
        self._echoes_until = 0.0
        self.fencing: Fencing | None = None
        """Why the client was fenced: it is of no use any more, and another one must join in its place."""

    @property
    def is_final(self) -> bool:
        """Whether nothing that is sent by this client will be taken any more."""
        return self._final is not None or self.fencing is not None

    @property
    def is_served(self) -> bool:
        """Whether the group has let this member in, and no broker is known to be silent."""
        return self.is_joined and not self._silence and self._final is None

    @property
    def trouble(self) -> SourceAwayError | None:
        """Why no record, or none of some partition, can come now; None where nothing is known to be wrong."""
        refusal = self._final or self._standing()
        if refusal is not None:
            return SourceAwayError(str(refusal))
        if self._silence:
            words = self._last_words or " (does `security.protocol` fit?)"
            return SourceAwayError(f"{self._silence}{words}: librdkafka goes on trying")
        if not self.is_joined and self._clock.monotonic() >= self._late_at:
            group, again = f"the group {self._options.consumer_group} at {self._options.brokers}", ""
            if self._is_lost:
                again = " again since its session ended: it was not heard in time, or the brokers did not answer"
            return SourceAwayError(f"{group} has not let this member in{again}{self._last_words}")
        return None

    def check(self) -> None:
        """Raise a refusal that is final or has stood for `GRACE_S`."""
        if self._final is not None:
            raise self._final
        refusal = self._standing()
        if refusal is not None and self._clock.monotonic() - self._refused_at >= GRACE_S:
            raise refusal

    def note(self, error: KafkaError, partition: int | None = None) -> None:
        """librdkafka reported an error: a callback of the client, or an error among the records of a partition."""
        judged, code = translate(error, self._options), error.code()
        if _is_final(error) and (self.fencing is not None or _is_fencing(error)):
            self.fencing = self.fencing or self._fenced_by()  # the client says it again and again
        elif _is_final(error):
            self._final = self._final or SourceRefusedError(str(judged))
        elif isinstance(judged, SourceRefusedError):
            if self._standing() is None:
                self._refused_at = self._clock.monotonic()
            self._refusals[self._whereabouts(code, partition)] = judged
        elif code == KafkaError._ALL_BROKERS_DOWN:
            self._silence = f"none of the brokers at {self._options.brokers} answers"
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            self._emit(events.poll_overdue(topic=self._options.topic_name, error=words(error)))
        else:
            self._last_words = f" (the client says: {error.str()})"
            self._emit(events.client_reported(topic=self._options.topic_name, error=words(error)))

    def note_unanswered(self) -> None:
        """A commit was not answered in time."""
        self._silence = f"the brokers at {self._options.brokers} do not answer a commit"

    def note_messages(self, messages: Iterable[Message]) -> None:
        """A partition whose last message is a record, or its end, is read: whatever was wrong there is over."""
        if self._refusals:
            is_read = {message.partition(): _is_read(message) for message in messages}
            self._refusals = {where: each for where, each in self._refusals.items() if not is_read.get(where, False)}

    def note_answer(self) -> None:
        """The group answers this member: an assignment, a confirmed commit, a question."""
        self._silence = self._last_words = ""
        self._refusals.pop(GROUP, None)

    def note_lost(self) -> None:
        """The session ended. What was sent in it may be answered after the next one has begun."""
        self._echoes_until = math.inf
        self.is_joined, self._is_lost, self._late_at = False, True, self._clock.monotonic()

    def note_joined(self, partitions: int) -> None:
        """The group has let us in, and given us so many partitions: none also of a topic that is not there."""
        self.is_joined = True
        self._refusals.pop(JOINING, None)
        self.note_answer()
        if partitions:
            self._refusals.pop(TOPIC, None)
        self._echoes_until = min(self._echoes_until, self._clock.monotonic() + ECHO_S)

    def note_new_client(self) -> None:
        """A client that has sent nothing yet takes the other's place: the next fencing is no echo."""
        self.fencing = None
        self._echoes_until = 0.0
        self._refusals, self._silence, self._last_words = {}, "", ""
        self.is_joined, self._late_at = False, self._clock.monotonic() + JOIN_S

    def _standing(self) -> SourceRefusedError | None:
        """A refusal of the group, or of a partition that is ours still."""
        if not self._refusals:
            return None
        found = tuple(self._refusals.items())  # two threads write
        return next((each for where, each in found if where < 0 or where in self._assigned), None)

    def _whereabouts(self, code: int, partition: int | None) -> int:
        """What it is that was refused: to join, anything of the group, the topic as a whole, or one partition of it."""
        if code in _OF_JOINING:
            return JOINING
        if partition is None or code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return GROUP
        if self.is_joined:
            return partition
        return TOPIC if code in _OF_THE_TOPIC else GROUP

    def _fenced_by(self) -> Fencing:
        """A fencing may answer what this process itself had sent in a session that it lost; once a loss."""
        return Fencing.BY_ITSELF if self._clock.monotonic() < self._echoes_until else Fencing.BY_ANOTHER


def _is_read(message: Message) -> bool:
    error = message.error()
    return error is None or error.code() == KafkaError._PARTITION_EOF


def _is_final(error: KafkaError) -> bool:
    """Whether the client that reported it is of no more use."""
    return error.code() in _FATAL_CODES or error.fatal()


def _is_fencing(error: KafkaError) -> bool:
    """Whether a member was fenced; librdkafka may tell of it as of any fatal error, with the broker's words in it."""
    return error.code() in _FENCED or KafkaError(KafkaError.FENCED_INSTANCE_ID).str() in error.str()


def translate(error: KafkaError, options: KafkaOptions) -> SourceError:
    """The error in a sentence: SourceRefusedError where a person has to act, SourceAwayError where it passes."""
    names = {
        "topic": options.topic_name,
        "group": options.consumer_group,
        "brokers": options.brokers,
        "session_timeout": options.session_timeout,
    }
    if _is_final(error):
        return SourceRefusedError(f"Kafka ended this member of {options.topic_name} for good: {words(error)}")
    sentence = _SENTENCES.get(error.code(), _ANY).format(**names)
    is_passing = error.code() in _PASSING
    return (SourceAwayError if is_passing else SourceRefusedError)(f"{sentence} ({words(error)})")


def words(error: KafkaError) -> str:
    """What librdkafka calls it, and says of it."""
    return f"{error.name()}: {error.str()}"
