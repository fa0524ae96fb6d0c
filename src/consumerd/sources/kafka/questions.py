"""Questions to the brokers by clients that read no records, and what such a client hears while it waits.

An answer that does not come says nothing of its reason: refused credentials, an address at which nobody listens, a
group that may not be read are told by the client's callback alone, and some of it once. So a question is put in
slices, and between two of them the callback is served. Runs in workers and the foreground.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.events.facts import Fact
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.refusals import translate

SLICE_S = 0.2
"""The first wait for an answer. Each is twice as long as the one before: brokers may be far away."""

SETTLE_S = 1.0
"""How long to wait on when the client has found all brokers down: other addresses of the first name may answer."""

_LISTENED_AT_ONCE = 100

AnswerT = TypeVar("AnswerT")


class Questions:
    """Asks by a deadline; raises SourceAwayError or SourceRefusedError, with what the clients have told meanwhile."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._refusal: SourceRefusedError | None = None
        self._words = ""
        self._down_at: float | None = None

    def note(self, error: KafkaError) -> None:
        """A client's error callback."""
        judged = translate(error, self._options)
        if isinstance(judged, SourceRefusedError):
            self._refusal = judged
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - a public constant of the client
            self._words = f" (the client says: {error.str()})"
        elif self._down_at is None:
            self._down_at = monotonic()

    def ask(self, client: AdminClient | Consumer, question: Callable[[float], AnswerT], deadline: float) -> AnswerT:
        """The answer of the client. question: waits so many seconds for it; raises KafkaException or TimeoutError."""
        self._listen(client)
        patience_s = SLICE_S
        while True:
            try:
                answer = question(patience_s)
            except (KafkaException, TimeoutError) as error:
                self._listen(client)
                self._give_up(error, deadline)
                patience_s = max(SLICE_S, min(2 * patience_s, deadline - monotonic()))
            else:
                self._refusal, self._words, self._down_at = None, "", None
                return answer

    def _listen(self, client: AdminClient | Consumer) -> None:
        """Run the callbacks. No record comes to a consumer that is assigned nothing, but what its group says comes as
        a record's error."""
        if isinstance(client, AdminClient):
            client.poll(0)
            return
        for message in client.consume(_LISTENED_AT_ONCE, 0):
            error = message.error()
            if error is not None:
                self.note(error)

    def _give_up(self, error: Exception, deadline: float) -> None:
        """Raise where it is of no use to ask on."""
        judged = translate(error.args[0], self._options) if isinstance(error, KafkaException) else None
        refusal = self._refusal or (judged if isinstance(judged, SourceRefusedError) else None)
        if refusal is not None:
            raise refusal from error
        down_at = self._down_at
        if monotonic() >= (deadline if down_at is None else min(deadline, down_at + SETTLE_S)):
            whom = f"the brokers at {self._options.brokers} did not answer in time"
            if down_at is not None:
                whom = f"none of the brokers at {self._options.brokers} answers"
            self._down_at = None
            raise SourceAwayError(f"{whom}{self._words}") from error


class ClientLogger(logging.Logger):
    """Gives librdkafka's own log lines to `note`: it would write them on stderr otherwise."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__("librdkafka")
        self.propagate = False
        self._note = note

    def handle(self, record: logging.LogRecord) -> None:
        """Give the line."""
        self._note(record.getMessage())


def emitting_logger(emit: Callable[[Fact], None]) -> ClientLogger:
    """Makes a debug fact of each line."""
    return ClientLogger(lambda line: emit(events.client_logged(line=line)))
