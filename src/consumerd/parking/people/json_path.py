"""A condition on a record: what stands at a path in its JSON, as in `user.id=5` or `items[0].sku=abc`. Pure.

A filter is compared in Python, so that it means the same on every database; a payload that is no JSON never matches.
Numbers are compared exactly, digit by digit: a task may be discarded by its id.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from consumerd.errors import UsageError

_STEP = re.compile(r'\.?(?P<quoted>"(?:[^"\\]|\\.)+")|\.?(?P<name>[^.\[\]="]+)|\[(?P<index>\d{1,9})\]')
_HOW = 'write it as user.id=5 or items[0].sku=abc, and a name with a dot in it as "a.b".c=5'

Step = str | int


@dataclass(frozen=True, slots=True)
class Where:
    """What has to stand at a path.

    path: names of objects' values and indexes of lists, from the outside.
    text: as it was written. A string has to be this text; any other value has to be what this text is as JSON.
    """

    path: tuple[Step, ...]
    text: str

    @classmethod
    def parse(cls, written: str) -> Where:
        """Of `PATH=VALUE`; UsageError with a sentence where it is none."""
        path: list[Step] = []
        at = 0
        while at < len(written) and written[at] != "=":
            step = _STEP.match(written, at)
            if step is None or (path and step["index"] is None and written[at] != "."):
                raise UsageError(f"{written!r} is no condition on a record: {_HOW}")
            path.append(_step(step, written))
            at = step.end()
        if not path or at == len(written) or written[0] == ".":
            raise UsageError(f"{written!r} is no condition on a record: {_HOW}")
        return cls(tuple(path), written[at + 1 :])

    def matches(self, payload: bytes) -> bool:
        """Whether the payload is JSON that has it there."""
        try:
            return self._is_in(_exact(payload.decode()))
        except (ValueError, RecursionError):
            return False

    def _is_in(self, value: Any) -> bool:  # of any shape
        for step in self.path:
            match value, step:
                case dict(), str() if step in value:
                    value = value[step]
                case list(), int() if step < len(value):
                    value = value[step]
                case _:
                    return False
        return self._is(value)

    def _is(self, value: object) -> bool:
        if value == self.text:
            return True
        return _same(value, _exact(self.text))


def _exact(text: str) -> Any:  # of any shape
    """What is written as JSON, its numbers as they are written. ValueError, RecursionError."""
    return json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_refuse)


def _number(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:
        return Decimal("NaN")  # beyond what Decimal has: it equals nothing


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _same(one: object, other: object) -> bool:
    match one, other:
        case list(), list():
            return len(one) == len(other) and all(map(_same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    return type(one) is type(other) and one == other


def _step(step: re.Match[str], written: str) -> Step:
    if step["index"] is not None:
        return int(step["index"])
    if step["quoted"] is None:
        return step["name"]
    try:
        return str(orjson.loads(step["quoted"]))
    except ValueError as error:
        raise UsageError(f"{step['quoted']} in {written!r} is no JSON string: {_HOW}") from error
