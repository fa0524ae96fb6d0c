"""What makes the tasks of a batch themselves, as the board keeps it: `model.suspects` reads it. Runs in workers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress

import orjson

_WHOLE = re.compile(r"-?\d{1,18}")
_BYTES = re.compile(r"x'(?:[0-9a-f]{2})*'")


def by_offset(start: str) -> bytes:
    """Each task's id is `start` and its offset."""
    return _packed(start)


def in_order(start: str, ends: Iterable[object]) -> bytes:
    """The offsets are 0, 1, 2 …, and each task's id is `start` and the text of its end."""
    return _packed([start, *ends])


def one_by_one(ids: Mapping[int, str | None]) -> bytes:
    """Each task's id by its offset; None where it has none."""
    return _packed({str(offset): task_id for offset, task_id in ids.items()})


def text_of(end: object) -> str:
    """An id as text: bytes as SQL writes them, `x'0aff'`."""
    return f"x'{end.hex()}'" if isinstance(end, bytes) else str(end)


def values_of(text: str) -> tuple[object, object, object]:
    """What `text_of` may have been given: the text itself, a number, bytes; the text again where it is none."""
    number: object = text
    with suppress(ValueError):
        number = int(text) if _WHOLE.fullmatch(text) else float(text)
    content = bytes.fromhex(text[2:-1]) if _BYTES.fullmatch(text) else text
    return text, number, content


def _packed(value: object) -> bytes:
    try:
        return orjson.dumps(value, default=text_of)
    except TypeError:  # a lone surrogate, an integer of more than 64 bits: any text may be an id
        return json.dumps(value, default=text_of).encode()
