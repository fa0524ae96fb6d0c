"""Values as JSON text, and back: what frames and the control socket hold. Imports nothing heavy: the client uses it.

Bytes are `{"$bytes": BASE64}`; tuples come back as lists. The text is ASCII, so that lone surrogates (file names, the
environment) come back as they were.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from consumerd.errors import WireError

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
