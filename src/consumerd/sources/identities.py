"""What makes the tasks of a batch themselves, as the board keeps it: `model.suspects` reads it. Runs in workers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import orjson


def by_offset(start: str) -> bytes:
    """Each task's id is `start` and its offset."""
    return _packed(start)


def in_order(start: str, ends: Iterable[object]) -> bytes:
    """The offsets are 0, 1, 2 …, and each task's id is `start` and the text of its end."""
    return _packed([start, *ends])


def one_by_one(ids: Mapping[int, str | None]) -> bytes:
    """Each task's id by its offset; None where it has none."""
    return _packed({str(offset): task_id for offset, task_id in ids.items()})


def _packed(value: object) -> bytes:
    try:
        return orjson.dumps(value, default=str)
    except TypeError:  # a lone surrogate, an integer of more than 64 bits: any text may be an id
        return json.dumps(value, default=str).encode()
