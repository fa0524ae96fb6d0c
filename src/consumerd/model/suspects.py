"""A suspect: a task that was running when its worker died, and what is known of such deaths. Pure.

What makes a task itself is on the dead worker's board as JSON (`Batch.identities`): a text, to which the offset is
added; a list, the text first, of what is added for the offsets 0, 1, 2 …; or an object, by offset.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import NamedTuple

from consumerd.model.task import TaskId

CANCELLED_FOR_GOOD = "an operator cancelled it, and had it parked"
"""Instead of the ends of workers: the task is to be parked as dead, and not to be run again."""


LONGEST_SHOWN_BYTES = 255
_BEGIN_BYTES = 150


def shown(task_id: TaskId) -> TaskId:
    """The id as a lane of a board has it, and the master knows it: a longer one by its begin and a digest of it all."""
    if len(task_id) <= LONGEST_SHOWN_BYTES // 4 and "\0" not in task_id:
        return task_id
    whole = task_id.encode(errors="surrogatepass")
    if len(whole) <= LONGEST_SHOWN_BYTES and b"\0" not in whole:
        return task_id
    begin = whole[:_BEGIN_BYTES].decode(errors="ignore").replace("\0", " ")
    return TaskId(f"{begin}… sha256:{hashlib.sha256(whole).hexdigest()}")


class Suspect(NamedTuple):
    """One of them, as workers are told of it.

    crashes: the deaths that count, one after the other; 0 where the task is only to be handled with care.
    ends: how those workers ended, for people.
    stacks: of the worker that the master killed last because the task did not end; else empty.
    """

    task_id: TaskId
    crashes: int
    ends: str
    stacks: str = ""


def id_at(identities: bytes, offset: int) -> TaskId | None:
    """The task of a batch with this offset; None where these identities name none, or are nonsense."""
    try:
        match json.loads(identities or b"null"):
            case str() as start:
                return TaskId(f"{start}{offset}")
            case [str() as start, *ends] if 0 <= offset < len(ends):
                return TaskId(f"{start}{ends[offset]}")
            case dict() as by_offset:
                found = by_offset.get(str(offset))
                return TaskId(found) if isinstance(found, str) else None
    except (ValueError, RecursionError):
        return None
    return None


def last_id(identities: bytes, offset: int) -> TaskId | None:
    """The same as `id_at`, quickly where the offset is that of the last of many."""
    end = identities.find(b'"', 2)
    if identities.startswith(b'["') and b"\\" not in identities[:end] and identities.count(b'"') == 2:
        last = identities[identities.rfind(b",") + 1 : -1]
        if last.isdigit() and identities.count(b",", end) == offset + 1:
            return TaskId(f"{identities[2:end].decode(errors='surrogatepass')}{int(last)}")
    return id_at(identities, offset)


def has_one_of(identities: bytes, first: int, last: int, wanted: Collection[TaskId]) -> bool:
    """Whether one of the wanted tasks is, or may be, among these, whose offsets begin and end so."""
    match json.loads(identities or b"null"):
        case str() as start:
            return any(end.isdecimal() and first <= int(end) <= last for end in _ends(start, wanted))
        case [str() as start, *ends]:
            return not _ends(start, wanted).isdisjoint(map(str, ends))
        case dict() as by_offset:
            return not set(wanted).isdisjoint(by_offset.values())
    return False


def _ends(start: str, wanted: Collection[TaskId]) -> set[str]:
    return {task_id.removeprefix(start) for task_id in wanted if task_id.startswith(start)}
