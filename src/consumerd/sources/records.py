"""Records of Python values as bytes, and back: what the parking store keeps of a row, or of what a generator yielded.

JSON, with tags for the values that rows have and JSON has not: dates, times, decimals, UUIDs, bytes. What cannot be
written so (an object of the user's) is kept as its text and cannot be handled again from the store.
"""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson

from consumerd.errors import UndecodableError

TAG = "$consumerd"

_INTEGERS = range(-(2**63), 2**64)
"""What orjson writes as it is."""

_Kinds = type | tuple[type, ...]
_Way = Callable[[Any], object]  # Any: a value of the kind, or what was written of it

_VALUES: dict[str, tuple[_Kinds, _Way, _Way]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "timedelta": (timedelta, timedelta.total_seconds, lambda seconds: timedelta(seconds=seconds)),
    "decimal": (Decimal, str, Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "bytes": ((bytes, bytearray, memoryview), lambda content: base64.b64encode(content).decode(), base64.b64decode),
    "float": (float, repr, float),
    "int": (int, str, int),
}
"""Each tag of a single value: what it stands for, how that is written, and how it is read."""

_CONTAINERS: dict[str, _Way] = {"tuple": tuple, "set": set, "frozenset": frozenset, "items": dict}


def encode_record(record: object) -> bytes:
    """The record's bytes. Never fails: what has no encoding is kept as its text."""
    try:
        return orjson.dumps(_escaped(plain_record(record)))
    except Exception:  # noqa: BLE001 - a record may be anything of the user's, and its attributes may raise anything
        return orjson.dumps({TAG: "object", "value": _text(record)})


def decode_record(payload: bytes) -> object:
    """The record in `payload`; raises UndecodableError where it was kept as text only."""
    try:
        return _restored(orjson.loads(payload))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UndecodableError(f"the parked record cannot be read back: {error}") from error


def plain_record(record: object) -> object:
    """A row as a `dict`, whichever driver or library it is of; any other record as it is."""
    mapping = getattr(record, "_mapping", None)  # a row of SQLAlchemy
    if isinstance(mapping, Mapping):
        return dict(mapping)
    if isinstance(record, Mapping) and type(record) is not dict:
        return dict(record)
    if not isinstance(record, Mapping) and hasattr(record, "keys") and hasattr(record, "__getitem__"):
        return {key: record[key] for key in record.keys()}  # noqa: SIM118 - a row of a driver, no mapping
    return record


def _escaped(value: object) -> object:
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            return {TAG: "items", "value": [[_escaped(key), _escaped(item)] for key, item in value.items()]}
        inner = {key: _escaped(item) for key, item in value.items()}
        return {TAG: "escaped", "value": inner} if TAG in value else inner
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if type(value) in (tuple, set, frozenset):
        return {TAG: type(value).__name__, "value": [_escaped(item) for item in value]}  # type: ignore[attr-defined]  # they iterate
    return _escaped_scalar(value)


def _escaped_scalar(value: object) -> object:
    match value:
        case Enum():
            raise TypeError(f"{type(value).__name__} has no encoding")
        case None | bool():
            return value
        case str():
            return str(value)
        case int() if value in _INTEGERS:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
    for tag, (kinds, write, _) in _VALUES.items():
        if isinstance(value, kinds):
            return {TAG: tag, "value": write(value)}
    raise TypeError(f"{type(value).__name__} has no encoding")


def _restored(value: object) -> object:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _restored(item) for key, item in value.items()}
    if value[TAG] == "escaped":
        return {key: _restored(item) for key, item in value["value"].items()}
    tag, inner = value[TAG], value["value"]
    if tag in _CONTAINERS:
        return _CONTAINERS[tag](_restored(inner))
    if tag not in _VALUES:
        raise ValueError(f"it was kept as text only: {str(inner)[:200]}")
    _, _, read = _VALUES[tag]
    return read(inner)


def _text(record: object) -> str:
    try:
        return repr(record)[:100_000].encode("utf-8", "backslashreplace").decode()
    except Exception as error:  # noqa: BLE001 - the user's __repr__ may raise anything
        return f"{type(record).__name__}, whose text cannot be had ({type(error).__name__})"
