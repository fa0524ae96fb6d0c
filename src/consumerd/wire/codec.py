"""Messages as plain JSON values, and back, checked field by field: the edge where a peer's words become types.

A message's `type` is its class's name in snake case.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from functools import cache

from consumerd.errors import WireError
from consumerd.wire import messages
from consumerd.wire.messages import Message
from consumerd.wire.plain import plain_value, real_value


def to_plain(message: Message) -> dict[str, object]:
    """A message as an object for `framing.encode`."""
    kind = type_name(typing.cast("type", type(message)))
    names: tuple[str, ...] = type(message).__match_args__
    try:
        values = {name: plain_value(getattr(message, name)) for name in names}
    except RecursionError as error:
        raise WireError(f"message {kind!r} is nested too deep") from error
    return {"type": kind, **values}


def from_plain(plain: Mapping[str, object]) -> Message:
    """The message that an object stands for. WireError for an unknown type, a missing, unknown or wrong field."""
    kind = plain.get("type")
    message_class = _classes().get(kind) if isinstance(kind, str) else None
    if message_class is None:
        raise WireError(f"unknown message type {kind!r}: restart the master, its processes must be of one version")
    hints = _hints(message_class)
    given = {name: value for name, value in plain.items() if name != "type"}
    if unknown := sorted(given.keys() - hints.keys()):
        raise WireError(f"message {kind!r} has an unknown field {unknown[0]!r}")
    try:
        values = {name: _checked(hints[name], value, f"{kind}.{name}") for name, value in given.items()}
        message: Message = message_class(**values)
    except RecursionError as error:
        raise WireError(f"message {kind!r} is nested too deep") from error
    except TypeError as error:
        raise WireError(f"message {kind!r} lacks a field: {error}") from error
    return message


@cache
def type_name(message_class: type) -> str:
    """`LoadFailed` → `load_failed`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", message_class.__name__).lower()


@cache
def _classes() -> dict[str, type]:
    return {type_name(message_class): message_class for message_class in typing.get_args(Message)}


@cache
def _hints(message_class: type) -> dict[str, object]:
    return typing.get_type_hints(message_class, vars(messages))


def _checked(hint: object, plain: object, where: str) -> object:
    """`plain` as `hint` says; WireError otherwise. Knows the types that messages use, and no others."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict and isinstance(plain, dict):
        return _checked_dict(arguments[1], real_value(plain), where)
    if origin is tuple and isinstance(plain, list):
        return _checked_tuple(arguments, plain, where)
    if origin is types.UnionType:
        return None if plain is None and type(None) in arguments else _checked(arguments[0], plain, where)
    if hint is object:
        return real_value(plain)
    if hint is float and type(plain) is int:
        return float(plain)
    if isinstance(hint, type) and type(plain) is hint:
        return plain
    raise WireError(f"{where} has a value of the wrong type: {type(plain).__name__}")


def _checked_dict(hint: object, real: object, where: str) -> object:
    if not isinstance(real, dict) or not (hint is object or all(type(inner) is hint for inner in real.values())):
        raise WireError(f"{where} has a value of the wrong type")
    return real


def _checked_tuple(arguments: tuple[object, ...], plain: list[object], where: str) -> tuple[object, ...]:
    if len(arguments) == 2 and arguments[1] is ...:
        return tuple(_checked(arguments[0], inner, where) for inner in plain)
    if len(arguments) != len(plain):
        raise WireError(f"{where} has {len(plain)} members where {len(arguments)} belong")
    return tuple(_checked(argument, inner, where) for argument, inner in zip(arguments, plain, strict=True))
