"""What a handler gets of a run, and how that is written. Runs in workers and the foreground."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import orjson

from consumerd.clock import iso, wall
from consumerd.errors import UndecodableError
from consumerd.model.task import Task
from consumerd.parking.ticks import ClaimedTick
from consumerd.sources.identities import one_by_one

MOST_BYTES = 64 * 1024
LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Tick:
    """A run of a schedule.

    scheduled: when it was due, in the schedule's time zone.
    previous: when the run before it was due; None where there was none.
    by_hand: whether a person asked for it, by `consumerd run-now`.
    cursor: what the last `self.checkpoint(cursor)` of this run has kept; None before the first one.
    starts: how often this run was given to a worker; more than 1 where one was killed in it, or has left it.
    """

    scheduled: datetime
    previous: datetime | None = None
    by_hand: bool = False
    cursor: Any = None  # any value that JSON has
    starts: int = 1


def tick_of(payload: bytes, zone: tzinfo = UTC, starts: int = 1) -> Tick:
    """The tick that a payload describes; what it leaves out is as of a first run that is due now."""
    try:
        found = orjson.loads(payload)
        scheduled, previous = found.get("scheduled", iso(wall())), found.get("previous")
        before = None if previous is None else datetime.fromisoformat(previous).astimezone(zone)
        due = datetime.fromisoformat(scheduled).astimezone(zone)
        return Tick(due, before, bool(found.get("by_hand", False)), found.get("cursor"), starts)
    except (ValueError, TypeError, AttributeError) as error:
        sentence = f'this is no run of a schedule, such as {{"scheduled": "2026-03-29T01:00:00Z"}}: {error}'
        raise UndecodableError(sentence) from error


def shown_number(value: object) -> float | None:
    """How far a run has come, or how far it goes; None for what is no number that a database has a column for."""
    is_number = isinstance(value, int | float) and abs(value) < LARGEST
    return float(value) if is_number else None  # type: ignore[arg-type]  # a number, then


def with_cursor(payload: bytes, cursor: object) -> bytes:
    """The payload with another cursor. ValueError for one that JSON has not, or that is too long."""
    try:
        json.dumps(cursor, allow_nan=False, default=lambda value: None)  # orjson makes a NaN `null`
        written = orjson.dumps({**orjson.loads(payload), "cursor": cursor})
    except (TypeError, RecursionError) as error:
        raise ValueError(f"a checkpoint keeps what JSON has, and not a {type(cursor).__name__} ({error})") from error
    if len(written) > MOST_BYTES:
        raise ValueError(f"a checkpoint keeps at most {MOST_BYTES} bytes, and this one has {len(written)}: keep an id")
    return written


class TickBatch:
    """One tick that was claimed. Each attempt at it is given its last checkpoint.

    claimed: as it was claimed; record: its payload, with the last checkpoint.
    begun_at: when this worker claimed it, on the monotonic clock; leased_at: when its lease was renewed last.
    is_lost: another worker has it by now. is_done: it has succeeded.
    """

    shard = 0
    offset: Callable[[ClaimedTick], int] = staticmethod(lambda raw: int(raw.scheduled_at))
    payload: Callable[[ClaimedTick], Any] = staticmethod(lambda raw: raw)

    def __init__(self, claimed: ClaimedTick, zone: tzinfo, leased_at: float) -> None:
        self.claimed = claimed
        self.record = claimed.record
        self.begun_at = self.leased_at = leased_at
        self.is_lost = self.is_done = False
        self.raws: Sequence[ClaimedTick] = (claimed,)
        self.decode: Callable[[ClaimedTick], object] = lambda raw: tick_of(self.record, zone, raw.starts)

    def task(self, index: int) -> Task:
        claimed = self.raws[index]
        return Task(
            id=claimed.task_id,
            offset=self.offset(claimed),
            source=claimed.consumer,
            shard=self.shard,
            position=0,
            payload=self.record,
            attempts=claimed.attempts,
            first_at=claimed.first_at,
        )

    def identities(self) -> bytes:
        """A tick is its schedule and its time."""
        return one_by_one({self.offset(self.claimed): self.claimed.task_id})
