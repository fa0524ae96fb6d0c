"""Framing: how JSON objects travel on a stream between the master and its children. Pure; no socket in here.

A frame is four bytes, the length of what follows (big endian, 1 to 65,536), and one JSON object. An object whose text
is longer travels in pieces: frames `{"piece": TEXT, "more": true}`, the last one without `more`, where TEXT is the
base64 of the next bytes of the object's text. Pieces of two objects never mix.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator

from consumerd.errors import WireError

FRAME_LIMIT_BYTES = 65_536
PIECE_BYTES = 48_000  # in base64, and with the object around it, well below a frame
OBJECT_LIMIT_BYTES = 64 * 1_048_576
"""The longest text of one object: a page of parked tasks with a payload of 16 MiB, twice in base64, and room."""

_LENGTH = struct.Struct("!I")
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode(plain: dict[str, object]) -> bytes:
    """One object as one or more frames. WireError when it is no JSON, nested too deep, or longer than the limit."""
    text = _to_json(plain)
    if len(text) > OBJECT_LIMIT_BYTES:
        raise WireError(f"a message of {len(text)} bytes is above the limit of {OBJECT_LIMIT_BYTES}: make it smaller")
    if len(text) <= FRAME_LIMIT_BYTES:
        return _LENGTH.pack(len(text)) + text
    return b"".join(_pieces(text))


def _pieces(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text), PIECE_BYTES):
        piece: dict[str, object] = {"piece": base64.b64encode(text[start : start + PIECE_BYTES]).decode("ascii")}
        if start + PIECE_BYTES < len(text):
            piece["more"] = True
        frame = _to_json(piece)
        yield _LENGTH.pack(len(frame)) + frame


class Parser:
    """Frames back to objects, fed with the stream in cuts of any size.

    Never holds more than one frame and one object's pieces. After the first WireError the stream has no meaning any
    more: each later call raises it again.
    """

    def __init__(self) -> None:
        self._unread = bytearray()
        self._pieces = bytearray()
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
            self._pieces.clear()
            raise

    def _objects(self) -> Iterator[dict[str, object]]:
        start = 0
        while (end := self._frame_end(start)) is not None:
            whole = self._collect(_from_json(bytes(self._unread[start + _LENGTH.size : end])))
            start = end
            if whole is not None:
                yield whole
        del self._unread[:start]

    def _frame_end(self, start: int) -> int | None:
        if len(self._unread) < start + _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._unread, start)
        if not 0 < length <= FRAME_LIMIT_BYTES:
            raise WireError(f"a frame of {length} bytes is not allowed: the peer does not speak this protocol")
        end = start + _LENGTH.size + length
        return end if len(self._unread) >= end else None

    def _collect(self, plain: dict[str, object]) -> dict[str, object] | None:
        if "piece" not in plain:
            if self._pieces:
                raise WireError("a message began before the last piece of the one before it")
            return plain
        self._pieces += _piece_of(plain)
        if len(self._pieces) > OBJECT_LIMIT_BYTES:
            raise WireError(f"a message in pieces is above the limit of {OBJECT_LIMIT_BYTES} bytes")
        if plain.get("more") is True:
            return None
        text = bytes(self._pieces)
        self._pieces.clear()
        return _from_json(text)


def _piece_of(plain: dict[str, object]) -> bytes:
    text = plain["piece"]
    if not isinstance(text, str):
        raise WireError("a piece of a message is not base64 text")
    try:
        piece = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise WireError("a piece of a message is not base64 text") from error
    if not piece:
        raise WireError("a piece of a message is empty")
    return piece


def _to_json(plain: dict[str, object]) -> bytes:
    """ASCII, so that lone surrogates (file names, the environment) come back as they were."""
    try:
        return _ENCODER.encode(plain).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"a message cannot be written as JSON: {error}") from error


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
