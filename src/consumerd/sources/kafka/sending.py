"""Messages for a topic, produced and confirmed. Runs in probes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, SourceError
from consumerd.sources import askable
from consumerd.sources.kafka.health import translate
from consumerd.sources.kafka.options import KafkaOptions, admin_settings

DELIVERED_WITHIN_S = 20.0
_QUEUE_FULL_S = 0.2


class Sending:
    """Produces messages once, and knows the place of each that was confirmed."""

    def __init__(self, options: KafkaOptions, messages: Sequence[askable.Message]) -> None:
        self._options = options
        self._messages = messages
        self._places: list[str | None] = [None] * len(messages)
        self._errors: list[KafkaError] = []
        self._producer = Producer({**admin_settings(options), "enable.idempotence": True})

    def send(self) -> Sequence[str | None]:
        """Produce all of them, and wait until the brokers have confirmed each. SourceError where they do not."""
        deadline = monotonic() + DELIVERED_WITHIN_S
        for number, message in enumerate(self._messages):
            while not self._has_queued(number, message):
                self._producer.poll(_QUEUE_FULL_S)
                if monotonic() > deadline:
                    raise self._late()
        left = self._producer.flush(max(1.0, deadline - monotonic()))
        if self._errors:
            raise self._failed(self._errors[0])
        if left:
            raise self._late()
        return self._places

    def _has_queued(self, number: int, message: askable.Message) -> bool:
        """Whether the client has taken the message; its queue may be full."""
        try:
            self._producer.produce(
                self._options.topic_name,
                value=message.payload,
                key=message.key,
                headers=[*message.headers] or None,
                on_delivery=partial(self._note, number),
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise self._failed(error.args[0]) from error
        return True

    def _note(self, number: int, error: KafkaError | None, record: Message) -> None:
        if error is not None:
            self._errors.append(error)
        else:
            self._places[number] = f"{record.partition()}:{record.offset()}"

    @property
    def _told(self) -> str:
        confirmed = sum(place is not None for place in self._places)
        return f"{confirmed} of {len(self._places)} messages were confirmed"

    def _failed(self, error: KafkaError) -> SourceError:
        judged = translate(error, self._options)
        return type(judged)(f"{self._told}: {judged}")

    def _late(self) -> SourceAwayError:
        return SourceAwayError(f"{self._told} within {DELIVERED_WITHIN_S:g} s; others may still have come")
