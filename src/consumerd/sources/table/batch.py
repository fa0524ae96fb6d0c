"""A claim: the rows that one worker took in one transaction, under one token, and what tasks have of them.

Runs in workers and the foreground.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import orjson

from consumerd.model.task import Task, TaskId
from consumerd.sources.identities import in_order, text_of
from consumerd.sources.records import encode_record

Raw = tuple[int, Any, Any, int, float | None]
"""(index in the batch, key of whatever type the table has, content, attempts, time of the first attempt)"""


class TableBatch:
    """Claimed rows. The content of each is the bytes of its payload, or the row's values.

    token: of the claim.
    leased_at: when the lease began, or was renewed last, on the monotonic clock.
    due_between: since when the first and the last of them were due, by the database's clock; None where nobody knows.
    unsettled: how many rows are not settled durably.
    is_lost: others have taken some.
    is_left: the loop has left it, and nothing of it runs.
    apart: rows whose handlers began to settle them in transactions of their own, by index, until the loop settles them;
    whether that is committed.
    """

    shard = 0
    offset: Callable[[Raw], int] = staticmethod(operator.itemgetter(0))
    payload: Callable[[Raw], Any] = staticmethod(operator.itemgetter(2))

    def __init__(self, table: str, token: str, raws: Sequence[Raw], decode: Callable[[Any], object]) -> None:
        self.raws = raws
        self.decode = decode
        self.token = token
        self.leased_at = 0.0
        self.due_between: tuple[float, float] | None = None
        self.unsettled = len(raws)
        self.is_lost = self.is_left = False
        self.apart: dict[int, bool] = {}
        self._table = table
        self._noted: list[range] = []

    def id_of(self, index: int) -> TaskId:
        """The id of the task at `index`."""
        return TaskId(f"{self._table}:{key_text(self.raws[index][1])}")

    def has(self, task: Task) -> bool:
        """Whether the task is a row of this batch, and what became of that is not noted yet: from then on, somebody may
        claim it again.
        """
        at = task.offset
        if at >= len(self.raws) or self.id_of(at) != task.id:
            return False
        return not any(at in rows for rows in self._noted)

    def task(self, index: int) -> Task:
        offset, _, content, attempts, first_at = self.raws[index]
        return Task(
            id=self.id_of(index),
            offset=offset,
            source=self._table,
            shard=self.shard,
            position=0,
            payload=content if isinstance(content, bytes) else encode_record(self.decode(content)),
            attempts=attempts,
            first_at=first_at,
        )

    def put_last(self, are_last: Callable[[TaskId], bool]) -> bool:
        """The place of a row in its batch is its task's offset: all are numbered anew."""
        last = [are_last(self.id_of(index)) for index in range(len(self.raws))]
        places = sorted(range(len(self.raws)), key=last.__getitem__)
        self.raws = [(number, *self.raws[place][1:]) for number, place in enumerate(places)]
        return any(last)

    def identities(self) -> bytes:
        """A task is its row, by the table's key."""
        keys = self.keys(0, len(self.raws))
        are_short = {int, str}.issuperset(map(type, keys))
        return in_order(f"{self._table}:", keys if are_short else [_short(key) for key in keys])

    def keys(self, start: int, stop: int) -> list[object]:
        """The keys of these rows."""
        return [raw[1] for raw in self.raws[start:stop]]

    def keys_to_settle(self, start: int, stop: int) -> list[object]:
        """What became of these rows is noted. The keys of those that were not settled apart; of the others nothing is
        left to do.
        """
        self._noted.append(range(start, stop))
        if not self.apart:
            return self.keys(start, stop)
        settled = [index for index in range(start, stop) if index in self.apart]
        keys = [self.raws[index][1] for index in range(start, stop) if index not in self.apart]
        self.unsettled -= len(settled)
        for index in settled:
            del self.apart[index]
        return keys


def key_text(key: object) -> str:
    """A key as text; of several columns, with commas between them."""
    return ",".join(map(_part_text, key)) if isinstance(key, tuple) else text_of(key)


def key_texts(text: str, width: int) -> list[str]:
    """The texts of the columns of a key whose text this is."""
    if width == 1:
        return [text]
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == ",":
            parts.append("")
        else:
            parts[-1] += next(characters, "") if character == "\\" else character
    return parts


def _part_text(part: object) -> str:
    return text_of(part).replace("\\", "\\\\").replace(",", "\\,")


def _short(key: object) -> object:
    return key if isinstance(key, int | str) else key_text(key)


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
