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

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS
_INTEGERS = range(-(2**63), 2**64)
"""What orjson writes as it is."""

_RESTORE: dict[str, Callable[[Any], object]] = {  # Any: the tagged JSON value
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda seconds: timedelta(seconds=seconds),
    "decimal": Decimal,
    "uuid": uuid.UUID,
    "bytes": base64.b64decode,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "items": dict,
    "float": float,
    "int": int,
}

_CONTAINERS = frozenset({"tuple", "set", "frozenset", "items"})


def encode_record(record: object) -> bytes:
    """The record's bytes. Never fails: what has no encoding is kept as its text."""
    try:
        return orjson.dumps(_escaped(plain_record(record)), default=_tagged, option=_OPTIONS)
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
        case uuid.UUID():
            return {TAG: "uuid", "value": str(value)}
        case float() if not math.isfinite(value):
            return {TAG: "float", "value": repr(value)}
        case int() if value not in _INTEGERS:
            return {TAG: "int", "value": str(value)}
    return value


def _tagged(value: object) -> object:
    match value:
        case datetime():
            return {TAG: "datetime", "value": value.isoformat()}
        case date():
            return {TAG: "date", "value": value.isoformat()}
        case time():
            return {TAG: "time", "value": value.isoformat()}
        case timedelta():
            return {TAG: "timedelta", "value": value.total_seconds()}
        case Decimal():
            return {TAG: "decimal", "value": str(value)}
        case bytes() | bytearray() | memoryview():
            return {TAG: "bytes", "value": base64.b64encode(value).decode()}
        case int():
            return int(value)
        case str():
            return str(value)
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
    restore = _RESTORE.get(value[TAG])
    if restore is None:
        raise ValueError(f"it was kept as text only: {str(value.get('value'))[:200]}")
    inner = value["value"]
    return restore(_restored(inner) if value[TAG] in _CONTAINERS else inner)


def _text(record: object) -> str:
    try:
        return repr(record)[:100_000].encode("utf-8", "backslashreplace").decode()
    except Exception as error:  # noqa: BLE001 - the user's __repr__ may raise anything
        return f"{type(record).__name__}, whose text cannot be had ({type(error).__name__})"
