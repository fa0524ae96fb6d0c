"""A condition on a record: what stands at a path in its JSON, as in `user.id=5` or `items[0].sku=abc`. Pure.

A filter is compared in Python, so that it means the same on every database; a payload that is no JSON never matches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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
            value: Any = orjson.loads(payload)  # of any shape
        except ValueError:
            return False
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
        try:
            meant = orjson.loads(self.text)
        except ValueError:
            return False
        return isinstance(meant, bool) == isinstance(value, bool) and meant == value


def _step(step: re.Match[str], written: str) -> Step:
    if step["index"] is not None:
        return int(step["index"])
    if step["quoted"] is None:
        return step["name"]
    try:
        return str(orjson.loads(step["quoted"]))
    except ValueError as error:
        raise UsageError(f"{step['quoted']} in {written!r} is no JSON string: {_HOW}") from error
