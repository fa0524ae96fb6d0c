"""A task: one unit of work, and what makes it itself."""

from __future__ import annotations

from typing import NamedTuple, NewType

TaskId = NewType("TaskId", str)
"""What makes a task itself, as text: `topic:uuid:partition:offset`, or `table:primary key`."""


class Task(NamedTuple):
    """One task as its source gave it, before its payload is decoded.

    On the fast path no such object exists: a batch makes one for what leaves it (a failure, a hook, a parked task), and
    where several run at once, for each: a tuple is made in a third of the time.

    id: None where the source has no identity for it (a generator without `task_id`).
    offset: the post's number, which the handler gets.
    position: its place in its shard, for the parking store (a Kafka offset; 0 where there is none).
    payload: its bytes, as they came; for a source of records, their encoding (`sources.records`).
    is_tombstone: it came without a payload, which deletes its key; it is no record of its own.
    is_given_again: its source gives it again while it waits, so that nothing but its id need be kept until then.
    attempts: how many attempts were made before now; first_at: when the first was made, seconds since the epoch.
    """

    id: TaskId | None
    offset: int
    source: str
    shard: int
    position: int
    payload: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    attempts: int = 0
    first_at: float | None = None
    is_tombstone: bool = False
    is_given_again: bool = False
