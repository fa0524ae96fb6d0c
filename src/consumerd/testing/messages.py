"""Messages as a topic or a claimed table brings them: bytes, with a key and headers. For tests of consumers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from consumerd.model.task import Task
from consumerd.sources.decoding import decode_json
from consumerd.sources.identities import by_offset


@dataclass(frozen=True, slots=True)
class Message:
    """One message for `run_consumer`.

    value: the payload's bytes as they come, or a value that is written as JSON. None is a tombstone: a message without
    a value (`null` in JSON is `b"null"`).
    key, headers: what the handler finds as `self.key` and `self.headers`.

        Message(b"no JSON at all")
        Message({"uid": 7}, key=b"7", headers=(("trace", b"1"),))
    """

    value: object
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def payload(self) -> bytes:
        """The bytes. Raises TypeError where the value cannot be written as JSON."""
        if isinstance(self.value, bytes):
            return self.value
        if self.value is None:
            return b""
        try:
            return orjson.dumps(self.value)
        except TypeError as error:
            raise TypeError(f"the value {self.value!r} is no JSON ({error}): give the payload as bytes") from error


def messages_of(records: Sequence[object]) -> list[Message]:
    """A message for each record that is none yet. Raises TypeError where one cannot be written as JSON."""
    messages = [record if isinstance(record, Message) else Message(record) for record in records]
    for message in messages:
        message.payload  # noqa: B018 - before anything runs
    return messages


class MessageBatch:
    """A batch of messages: the loop decodes their payloads, as it does a topic's."""

    shard: int = 0
    offset: Callable[[Any], int] = staticmethod(operator.itemgetter(0))
    payload: Callable[[Any], bytes] = staticmethod(lambda raw: raw[1].payload)
    headers: Callable[[Any], Any] = staticmethod(lambda raw: raw[1].headers)

    def __init__(  # raws: (offset, message, id) each
        self, source: str, raws: Sequence[Any], decode: Callable[[bytes], object] = decode_json
    ) -> None:
        self.decode = decode
        self.source = source
        self.raws = raws

    def identities(self) -> bytes:
        return by_offset(f"{self.source}:")

    def task(self, index: int) -> Task:
        """The task at `index`, with its message's key and headers."""
        offset, message, task_id = self.raws[index]
        return Task(
            id=task_id,
            offset=offset,
            source=self.source,
            shard=self.shard,
            position=offset,
            payload=message.payload,
            key=message.key,
            headers=message.headers,
            is_tombstone=message.value is None,
        )
