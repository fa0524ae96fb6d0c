"""What librdkafka reports of its brokers, judged: passing, away, or an answer that will stay no.

librdkafka reconnects by itself and tells of each try; the loop is told once that the source is away. Some refusals
(no such topic, not authorized) also pass by themselves while a cluster starts, so they get a grace, and are then
checked by asking anew.

A fencing is final: another process has this slot's identity. But for one: librdkafka sends a commit or a heartbeat
again that it made before it lost its session, with the member id of that time, and takes the broker's answer to it,
that the identity has a newer member, for its own end, though the newer member is itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from confluent_kafka import KafkaError

from consumerd.errors import SourceAwayError, SourceError, SourceRefusedError
from consumerd.events.facts import Level
from consumerd.sources.kafka.membership import Membership

GRACE_S = 10.0

ECHO_S = 60.0
"""How long after joining anew a request of the lost session may still be answered: librdkafka's `socket.timeout.ms`."""

# ruff: noqa: SLF001 - codes with an underscore are the client's public constants for its own errors
_FENCED = frozenset((KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID))
_FATAL = _FENCED | {KafkaError._FATAL}

_NO = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no topic {topic} at {brokers}: create it, or correct `topic_name`",
    KafkaError._UNKNOWN_TOPIC: "there is no topic {topic} at {brokers}: create it, or correct `topic_name`",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "reading the topic {topic} at {brokers} is not allowed: grant Read on it",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "joining the group is not allowed at {brokers}: grant Read on it",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the cluster at {brokers} does not allow it: grant what it asks for",
    KafkaError.INVALID_GROUP_ID: "the brokers at {brokers} take no such group: correct `consumer_group`",
    KafkaError._AUTHENTICATION: "the brokers at {brokers} refuse the credentials: correct the sasl.* or ssl.* keys",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the brokers at {brokers} refuse the credentials: correct the sasl.* keys",
    KafkaError._SSL: "TLS with the brokers at {brokers} fails: correct the ssl.* keys",
    KafkaError._AUTO_OFFSET_RESET: "a partition of {topic} has no usable position, and auto_offset_reset is error",
}


def translate(error: KafkaError, *, topic: str, brokers: str) -> SourceError:
    """The error as the loop understands it, in a sentence."""
    if error.code() in _FATAL or error.fatal():
        return SourceRefusedError(f"Kafka ended this member of {topic} for good: {_words(error)}")
    sentence = _NO.get(error.code())
    if sentence is not None:
        return SourceRefusedError(f"{sentence.format(topic=topic, brokers=brokers)} ({_words(error)})")
    return SourceAwayError(f"the brokers at {brokers} do not serve {topic}: {_words(error)}")


class Health:
    """What is known of the brokers. Noted in callbacks, judged in `fetch`."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._away: SourceAwayError | None = None
        self._refusal: SourceRefusedError | None = None
        self._refused_at = 0.0
        self._seen_at = 0.0
        self._is_final = False
        self._echoes_until = 0.0
        self._heard_echo = False

    @property
    def must_join_anew(self) -> bool:
        """Whether librdkafka fenced itself with a request of a session that it had lost: its client is of no use."""
        return self._heard_echo

    @property
    def away(self) -> SourceAwayError | None:
        """Why the source is away, or None."""
        return self._away

    def note(self, error: KafkaError) -> None:
        """librdkafka reported an error: a callback of the client, or an error among the records."""
        judged = translate(error, topic=self._membership.topic, brokers=self._membership.brokers)
        is_final = error.code() in _FATAL or error.fatal()
        if is_final and self._is_echo(error):
            self._heard_echo = True
        elif isinstance(judged, SourceRefusedError):
            self._note_refusal(judged, is_final=is_final)
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            brokers = self._membership.brokers
            self._away = SourceAwayError(f"none of the brokers at {brokers} answers: librdkafka goes on trying")
        elif error.code() == KafkaError._MAX_POLL_EXCEEDED:
            self._membership.report("poll_overdue", Level.WARNING, error=_words(error))
        else:
            self._membership.report("client_reported", Level.DEBUG, error=_words(error))

    def note_alive(self) -> None:
        """The brokers serve us: a record, an assignment, a confirmed commit."""
        self._away = None
        if not self._is_final:
            self._refusal = None

    def note_lost(self) -> None:
        """The session ended. What was sent in it may be answered after the next one has begun."""
        self._echoes_until = math.inf

    def note_joined(self) -> None:
        """The group has given us partitions."""
        self.note_alive()
        self._echoes_until = min(self._echoes_until, self._membership.clock.monotonic() + ECHO_S)

    def note_new_client(self) -> None:
        """A client that has sent nothing yet takes the other's place: the next fencing is no echo."""
        self._heard_echo = False
        self._echoes_until = 0.0
        self.note_alive()

    def check(self, ask: Callable[[], object]) -> None:
        """Raise a refusal that stands. `ask` reads from the topic and raises what is true now."""
        if self._refusal is None:
            return
        if self._is_final:
            raise self._refusal
        now = self._membership.clock.monotonic()
        if now - self._refused_at >= GRACE_S:
            self._refused_at = now
            self._ask(ask, self._refusal)
            self._refusal = None

    def _is_echo(self, error: KafkaError) -> bool:
        """Whether a fencing may answer what this process itself had sent in a session that it lost; once a loss."""
        if self._heard_echo:
            return True  # the client says it again and again
        return error.code() in _FENCED and self._membership.clock.monotonic() < self._echoes_until

    def _ask(self, ask: Callable[[], object], refusal: SourceRefusedError) -> None:
        """Ask anew. A broker that refuses credentials does not answer at all: then a refusal of late counts."""
        try:
            ask()
        except SourceAwayError as error:
            if self._membership.clock.monotonic() - self._seen_at < GRACE_S:
                raise refusal from error
            raise

    def _note_refusal(self, refusal: SourceRefusedError, *, is_final: bool) -> None:
        if self._is_final:
            return
        self._seen_at = self._membership.clock.monotonic()
        if self._refusal is None:
            self._refused_at = self._seen_at
            self._membership.report("source_hesitated", Level.WARNING, error=str(refusal))
        self._refusal, self._is_final = refusal, is_final


def _words(error: KafkaError) -> str:
    return f"{error.name()}: {error.str()}"
