"""Messages as JSON objects, and back, checked field by field: the edge where a peer's words become types."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any

import msgspec

from consumerd.errors import WireError
from consumerd.wire.messages import Message
from consumerd.wire.plain import plain_value, real_value


def to_plain(message: Message) -> dict[str, object]:
    """A message as an object for `framing.encode`. Raises WireError where a value of it has no end."""
    try:
        plain = plain_value(msgspec.to_builtins(message, builtin_types=(bytes,)))
    except (RecursionError, TypeError) as error:
        raise WireError(f"a {type(message).__name__} cannot be sent: {error}") from error
    assert isinstance(plain, dict)
    return plain


def from_plain(plain: Mapping[str, object]) -> Message:
    """The message that an object stands for. Raises WireError where its type is unknown, or a field is not as it is."""
    try:
        message: Message = msgspec.convert(real_value(plain), _any_message())
    except (msgspec.ValidationError, RecursionError) as error:
        raise WireError(
            f"a message is not understood ({error}): restart the master, its processes must be of one version"
        ) from error
    return message


@cache
def _any_message() -> Any:  # a union of types, as msgspec takes it
    return reduce(operator.or_, Message.__subclasses__())
