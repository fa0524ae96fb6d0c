"""Durations in seconds and sizes in bytes, as people write them. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from consumerd.config.problems import shown

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_PATTERN = r"\d+(?:\.\d+)?\s*(?:[kKMG]i?)?B"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMG]i?|)B")

LARGEST_BYTES = 2**50

LONGEST_S = 10 * 366 * 24 * 60 * 60
"""The longest duration that can be configured: ten years. Timers of the system overflow somewhere beyond."""

Duration = Annotated[float, Field(gt=0, le=LONGEST_S)]
"""Seconds, whole or not, more than zero."""


def size_bytes(written: object) -> object:
    """`"512MiB"` as a number of bytes; what is no text as it is. ValueError for another text."""
    if not isinstance(written, str):
        return written
    found = _SIZE.fullmatch(written.strip())
    if found is None:
        raise ValueError(f'must be a number of bytes, or a text such as "512MiB", and is {shown(written)}')
    return int(float(found[1]) * _UNITS[found[2].lower()])


Size = Annotated[
    int,
    Field(ge=2**20, le=LARGEST_BYTES),
    BeforeValidator(size_bytes),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 2**20, "maximum": LARGEST_BYTES},
                {"type": "string", "pattern": f"^{_PATTERN}$"},
            ]
        }
    ),
]
"""A number of bytes, at least 1 MiB; may be written as text."""
