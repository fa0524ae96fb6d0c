"""Frames: how messages travel on a stream between the master and its children. Pure; no socket in here.

A frame is four bytes, the length of what follows (big endian), and one JSON object: `wire.json_text`.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import msgspec

from consumerd.errors import WireError
from consumerd.wire.json_text import from_json, to_json
from consumerd.wire.messages import Message

OBJECT_LIMIT_BYTES = 64 * 1_048_576
"""The longest text of one object: a page of parked tasks with a payload of 16 MiB, twice in base64, and room."""

_LENGTH = struct.Struct("!I")


def to_plain(message: Message) -> dict[str, object]:
    """A message as an object for `encode`. WireError where a value of it has no end."""
    try:
        plain: dict[str, object] = msgspec.to_builtins(message, builtin_types=(bytes,))
    except (RecursionError, TypeError) as error:
        raise WireError(f"a {type(message).__name__} cannot be sent: {error}") from error
    return plain


def from_plain(plain: Mapping[str, object]) -> Message:
    """The message that an object stands for. WireError where its type is unknown, or a field is not as it is."""
    try:
        message: Message = msgspec.convert(plain, _any_message())
    except (msgspec.ValidationError, RecursionError) as error:
        raise WireError(
            f"a message is not understood ({error}): restart the master, its processes must be of one version"
        ) from error
    return message


@cache
def _any_message() -> Any:  # a union of types, as msgspec takes it
    return reduce(operator.or_, Message.__subclasses__())


def encode(plain: Mapping[str, object]) -> bytes:
    """One object as a frame. WireError when it is no JSON, or longer than the limit."""
    text = to_json(plain).encode("ascii")
    if len(text) > OBJECT_LIMIT_BYTES:
        raise WireError(f"a message of {len(text)} bytes is above the limit of {OBJECT_LIMIT_BYTES}: make it smaller")
    return _LENGTH.pack(len(text)) + text


class Parser:
    """Frames back to objects, fed with the stream in cuts of any size.

    After the first WireError the stream has no meaning any more: each later call raises it again.
    """

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[dict[str, object]]:
        """The objects that `data` completes, in order."""
        self._unread += data
        found, start = [], 0
        while (end := self._frame_end(start)) is not None:
            plain = from_json(bytes(self._unread[start + _LENGTH.size : end]))
            if not isinstance(plain, dict):
                raise WireError("a frame is JSON, but no object")
            found.append(plain)
            start = end
        del self._unread[:start]
        return found

    def _frame_end(self, start: int) -> int | None:
        if len(self._unread) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._unread, start)
        if not 0 < length <= OBJECT_LIMIT_BYTES:
            raise WireError(f"a frame of {length} bytes is not allowed: the peer does not speak this protocol")
        end: int = start + _LENGTH.size + length
        return end if len(self._unread) >= end else None
