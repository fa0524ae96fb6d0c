"""Framing: how JSON objects travel on a stream between the master and its children. Pure; no socket in here.

A frame is four bytes, the length of what follows (big endian), and one JSON object.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from consumerd.errors import WireError

OBJECT_LIMIT_BYTES = 64 * 1_048_576
"""The longest text of one object: a page of parked tasks with a payload of 16 MiB, twice in base64, and room."""

_LENGTH = struct.Struct("!I")
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode(plain: dict[str, object]) -> bytes:
    """One object as a frame. Raises WireError when it is no JSON, nested too deep, or longer than the limit.

    The text is ASCII, so that lone surrogates (file names, the environment) come back as they were.
    """
    try:
        text = _ENCODER.encode(plain).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"a message cannot be written as JSON: {error}") from error
    if len(text) > OBJECT_LIMIT_BYTES:
        raise WireError(f"a message of {len(text)} bytes is above the limit of {OBJECT_LIMIT_BYTES}: make it smaller")
    return _LENGTH.pack(len(text)) + text


class Parser:
    """Frames back to objects, fed with the stream in cuts of any size.

    After the first WireError the stream has no meaning any more: each later call raises it again.
    """

    def __init__(self) -> None:
        self._unread = bytearray()
        self._broken: WireError | None = None

    def feed(self, data: bytes) -> list[dict[str, object]]:
        """The objects that `data` completes, in order."""
        if self._broken is not None:
            raise self._broken
        self._unread += data
        try:
            return list(self._objects())
        except WireError as error:
            self._broken = error
            self._unread.clear()
            raise

    def _objects(self) -> Iterator[dict[str, object]]:
        start = 0
        while (end := self._frame_end(start)) is not None:
            yield _from_json(bytes(self._unread[start + _LENGTH.size : end]))
            start = end
        del self._unread[:start]

    def _frame_end(self, start: int) -> int | None:
        if len(self._unread) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._unread, start)
        if not 0 < length <= OBJECT_LIMIT_BYTES:
            raise WireError(f"a frame of {length} bytes is not allowed: the peer does not speak this protocol")
        end: int = start + _LENGTH.size + length
        return end if len(self._unread) >= end else None


def _from_json(text: bytes) -> dict[str, object]:
    try:
        plain = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise WireError("a frame is JSON, but no object")
    return plain


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
