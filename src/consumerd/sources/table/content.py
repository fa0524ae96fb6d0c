"""What drivers give of a row, as a task has it. Runs in workers and the foreground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import orjson


def as_bytes(content: object) -> bytes:
    """A payload as its bytes: drivers give text, bytes of several kinds, or nothing. Of any other value, its JSON."""
    match content:
        case bytes():
            return content
        case str():
            return content.encode()
        case None:
            return b""
        case bytearray() | memoryview():
            return bytes(content)
    return orjson.dumps(content, default=str)


def begun_at(wall: float, age_s: Any) -> float | None:  # a number of any kind
    """When a task was attempted first, by the worker's clock; None where it was not, or not at any time."""
    return None if age_s is None or not math.isfinite(age_s) else wall - float(age_s)


def record_of(names: Sequence[str], values: Sequence[object]) -> dict[str, object]:
    """The record that is a row. Nobody else has what is in it: a handler may change it."""
    return {name: _own(value) for name, value in zip(names, values, strict=True)}


def _own(value: object) -> object:
    return deepcopy(value) if isinstance(value, dict | list | set | tuple | bytearray) else value
