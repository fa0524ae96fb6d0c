"""The content of a row: what tells whether it is what it was, and the copy of it that people see."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping

from consumerd.errors import UndecodableError
from consumerd.sources.records import decode_record, encode_record, plain_record

VOLATILE = frozenset(
    (
        *("attempts", "attempt_count", "tries", "retries", "read_ct", "read_count"),
        *("vt", "visible_at", "read_at", "last_read_at", "reserved_at", "locked_at", "locked_by", "locked_until"),
        *("lease", "leased_until", "modified_at", "updated_at", "updated_on"),
    )
)
"""Columns that a queue changes each time that it gives a row: they tell nothing of what the row is."""

_ADDRESS = re.compile(rb" at 0x[0-9a-f]+")


def copy_of(record: object) -> bytes:
    """What is kept of a row for people; never fails. Objects of classes are kept by their attributes."""
    return encode_record(_by_names(record))


def digest_of(record: object) -> str:
    """What a row is, in twenty-four digits: equal for rows that differ in nothing but what a queue changes."""
    plain = _by_names(record)
    if isinstance(plain, Mapping):
        plain = {name: value for name, value in plain.items() if str(name).lower() not in VOLATILE}
    return hashlib.blake2b(_ADDRESS.sub(b"", encode_record(plain)), digest_size=12).hexdigest()


def digest_of_copy(copy: bytes) -> str:
    """The same of a row's copy; empty where it was kept as text only, or not at all."""
    try:
        return digest_of(decode_record(copy)) if copy else ""
    except UndecodableError:
        return ""


def _by_names(record: object) -> object:
    """A record whose values have names as a dict of them; any other as it is."""
    plain = plain_record(record)
    if isinstance(plain, tuple) and hasattr(plain, "_asdict"):
        return dict(plain._asdict())
    if dataclasses.is_dataclass(plain) and not isinstance(plain, type):
        return {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
    values = getattr(plain, "__dict__", None)
    if isinstance(values, dict) and values and not isinstance(plain, type):
        return {name: value for name, value in values.items() if not name.startswith("_")}
    return plain
