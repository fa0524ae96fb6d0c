"""A parked task as rows, and back: its key and handle, its text made storable, its long contents cut into parts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row

from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.parking.schema import SOURCE_CHARACTERS

Headers = tuple[tuple[str, bytes | None], ...]  # bytes are base64 in JSON, as msgspec has them

HANDLE_CHARACTERS = 10
INLINE_LIMIT_BYTES = 128 * 1024
PART_BYTES = 256 * 1024
"""A statement with so much of a task stays below 1 MiB, also where the driver doubles every byte to escape it: what
`max_allowed_packet` is at least on any MySQL or MariaDB that was set up on purpose."""
ERROR_CHARACTERS = 4_000
TRACEBACK_CHARACTERS = 64_000
LOG_CHARACTERS = 16_000

_REFUSED = re.compile("[\\\\\x00\ud800-\udfff]")
_REFUSED_WITHOUT_UNICODE = re.compile("[\\\\\x00\x80-\U0010ffff]")
_ESCAPED = re.compile(r"\\(\\|0|u[0-9a-f]{4}|U[0-9a-f]{8})")


def key_of(consumer: str, task_id: str) -> str:
    """The key of a row: 32 hexadecimal digits, of which people type the first ten, or fewer."""
    text = f"{consumer}\0{task_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def handle_of(key: str) -> str:
    """What people type."""
    return key[:HANDLE_CHARACTERS]


def storable(text: str, *, is_unicode: bool) -> str:
    """`text` without what the database refuses (NUL, lone surrogates); `original` gives it back.

    is_unicode: the database takes every Unicode character; otherwise all but ASCII is escaped.
    """
    return (_REFUSED if is_unicode else _REFUSED_WITHOUT_UNICODE).sub(_escape, text)


def storable_source(source: str, *, is_unicode: bool) -> str:
    """The same of a source's name. One that is longer than its column is cut, and ends with a digest of the whole."""
    text = storable(source, is_unicode=is_unicode)
    return text if len(text) <= SOURCE_CHARACTERS else f"{text[: SOURCE_CHARACTERS - 33]}~{key_of('', source)}"


def original(text: str) -> str:
    """The inverse of `storable`."""
    return _ESCAPED.sub(_unescape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\\":
        return "\\\\"
    if character == "\0":
        return "\\0"
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code == "\\":
        return "\\"
    return "\0" if code == "0" else chr(int(code[1:], 16))


def parameters_of(task: ParkedTask, now: float, *, is_unicode: bool) -> dict[str, Any]:  # parameters of a statement
    """The columns of the row, and `delay`: seconds from `now`, the worker's clock, until the task is due.

    is_unicode: see `storable`.
    """
    parts = parts_of(task)
    headers = _packed_headers(task)
    return {name: getattr(task, name) for name in _AS_THEY_ARE} | {
        "id": key_of(task.consumer, task.task_id),
        "task_id": storable(task.task_id, is_unicode=is_unicode),
        "source": storable_source(task.source, is_unicode=is_unicode),
        "state": task.state.value,
        "delay": None if task.due_at is None else task.due_at - now,
        "error": storable(task.error[:ERROR_CHARACTERS], is_unicode=is_unicode),
        "traceback": storable(task.traceback[:TRACEBACK_CHARACTERS], is_unicode=is_unicode),
        "log": storable(task.log[:LOG_CHARACTERS], is_unicode=is_unicode) or None,
        "headers": None if parts else headers,
        "key": None if parts else task.key,
        "payload": None if parts else task.payload,
        "size_bytes": len(task.payload) + len(task.key or b"") + len(headers),
        "parts": len(parts),
    }


def values_of(row: Row[Any], names: Iterable[str]) -> dict[str, Any]:  # columns of any type
    """These columns of a row of PARKED, as they were before they were stored."""
    values = {name: getattr(row, name) for name in names}
    return {name: _READ[name](value) if name in _READ else value for name, value in values.items()}


def task_of(row: Row[Any], parts: Sequence[bytes]) -> ParkedTask:  # a row of all columns of PARKED
    """The task that was parked."""
    contents = joined(parts) if row.parts else Contents(bytes(row.payload), row.key, _unpacked_headers(row.headers))
    key = None if contents.key is None else bytes(contents.key)  # some drivers give their own view of bytes
    return ParkedTask(payload=contents.payload, key=key, headers=contents.headers, **values_of(row, _COLUMNS))


def parts_of(task: ParkedTask) -> tuple[bytes, ...]:
    """The long contents of a task, cut; nothing where they fit into its row."""
    headers = _packed_headers(task)
    key = task.key or b""
    if len(task.payload) + len(key) + len(headers) <= INLINE_LIMIT_BYTES:
        return ()
    lengths = [len(task.payload), None if task.key is None else len(key), len(headers)]
    whole = json.dumps(lengths).encode() + b"\n" + task.payload + key + headers
    return tuple(whole[start : start + PART_BYTES] for start in range(0, len(whole), PART_BYTES))


class Contents(NamedTuple):
    """What the source gave: the bytes of a parked task."""

    payload: bytes
    key: bytes | None
    headers: Headers


def joined(parts: Sequence[bytes]) -> Contents:
    """The contents that `parts_of` cut."""
    head, _, rest = b"".join(parts).partition(b"\n")
    payload_length, key_length, _ = json.loads(head)
    key_end = payload_length + (key_length or 0)
    key = None if key_length is None else rest[payload_length:key_end]
    return Contents(rest[:payload_length], key, _unpacked_headers(rest[key_end:]))


def _packed_headers(task: ParkedTask) -> bytes:
    return json.dumps(msgspec.to_builtins(task.headers)).encode() if task.headers else b""


def _unpacked_headers(packed: bytes | None) -> Headers:
    return msgspec.convert(json.loads(packed), Headers) if packed else ()


_TEXTS = ("task_id", "source", "error", "traceback")
_READ: dict[str, Callable[[Any], Any]] = {  # of a column of any type
    **dict.fromkeys(_TEXTS, original),
    "log": lambda text: original(text or ""),  # a row of an older consumerd has none
    "state": ParkedState,
}
"""How the columns are read that are not stored as they are."""
_COLUMNS = [field.name for field in fields(ParkedTask) if field.name not in Contents._fields]
_AS_THEY_ARE = [name for name in _COLUMNS if name not in _READ and name != "due_at"]


def in_chunks(keys: Sequence[str], size: int = 500) -> Iterator[Sequence[str]]:
    """Keys in lists that every database takes as parameters of one statement."""
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
