"""Values as plain JSON, and back. Imports nothing heavy: the control client uses it.

Bytes become `{"$bytes": BASE64}`. A user's own mapping that looks like that is wrapped in `{"$plain": …}`, so that
every value comes back as it was; tuples come back as lists.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from consumerd.errors import WireError

_BYTES, _PLAIN = "$bytes", "$plain"


def plain_value(value: object) -> object:
    """A value with its bytes as base64; what is no JSON is left for `framing.encode` to refuse."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        plain = {_key(key): plain_value(inner) for key, inner in value.items()}
        return {_PLAIN: plain} if len(plain) == 1 and plain.keys() <= {_BYTES, _PLAIN} else plain
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    return value


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise WireError(f"a mapping in a message has the key {key!r}: only text can be a key")
    return key


def real_value(plain: object) -> object:
    """The inverse of `plain_value`, tuples as lists."""
    if isinstance(plain, list):
        return [real_value(inner) for inner in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.keys() == {_BYTES}:
        return _real_bytes(plain[_BYTES])
    inside = plain[_PLAIN] if plain.keys() == {_PLAIN} else plain
    if not isinstance(inside, dict):
        raise WireError(f"{_PLAIN} in a message wraps no mapping")
    return {key: real_value(inner) for key, inner in inside.items()}


def _real_bytes(text: object) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise WireError("bytes in a message are not base64") from error
    raise WireError("bytes in a message are not base64")
