"""Values as JSON text, and back: a line each between the master and its children, and on the control socket.

Imports nothing heavy: the client uses it. Bytes are `{"$bytes": BASE64}`; tuples come back as lists. The text is ASCII,
so that lone surrogates (file names, the environment) come back as they were.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from consumerd.errors import WireError

OBJECT_LIMIT_BYTES = 64 * 1_048_576
"""The longest line between the master and its children: a page of parked tasks with a payload of 16 MiB, and room."""

_BYTES = "$bytes"


def to_json(value: object) -> str:
    """One line. WireError when the value is no JSON, or nested too deep."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"a value cannot be written as JSON: {error}") from error


def from_json(text: str | bytes) -> object:
    """What `to_json` was given. WireError when the text is no JSON, nested too deep, or has bytes that are none."""
    try:
        return json.loads(text, object_hook=_with_bytes, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"this is not JSON: {error}") from error


def encode(plain: Mapping[str, object]) -> bytes:
    """One object as a line. WireError when it is no JSON, or longer than the limit."""
    line = to_json(plain).encode("ascii") + b"\n"
    if len(line) > OBJECT_LIMIT_BYTES:
        raise WireError(f"a message of {len(line)} bytes is above the limit of {OBJECT_LIMIT_BYTES}: make it smaller")
    return line


class Parser:
    """Lines back to objects, fed with the stream in cuts of any size.

    After the first WireError the stream has no meaning any more: what comes next raises it again.
    """

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, data: bytes) -> list[dict[str, object]]:
        """The objects that `data` completes, in order."""
        self._unread += data
        found = []
        if b"\n" in data:
            *lines, rest = self._unread.split(b"\n")
            found = [_object(line) for line in lines]
            self._unread = rest
        if len(self._unread) > OBJECT_LIMIT_BYTES:
            raise WireError(f"a message of more than {OBJECT_LIMIT_BYTES} bytes comes: the peer breaks the protocol")
        return found


def _object(line: bytearray) -> dict[str, object]:
    plain = from_json(bytes(line))
    if not isinstance(plain, dict):
        raise WireError("a line is JSON, but no object")
    return plain


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _with_bytes(found: dict[str, object]) -> object:
    if found.keys() != {_BYTES}:
        return found
    text = found[_BYTES]
    if not isinstance(text, str):
        raise ValueError("bytes must be base64")
    return base64.b64decode(text, validate=True)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain)
