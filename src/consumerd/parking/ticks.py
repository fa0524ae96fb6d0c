"""The runs of schedules: which are due, and who has which.

A run is a row, a *tick*, from when it is due until it is done. Whoever looks at a schedule that is due makes its ticks
and moves it on, in one transaction that holds the schedule's row: so all hosts together make each tick once. Each
function is one step within the caller's transaction, by the database's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, select, update

from consumerd.clock import iso
from consumerd.database.claims import Claims, Lease
from consumerd.database.dialects import database_now, upsert
from consumerd.model.parked import ParkedState
from consumerd.model.task import TaskId
from consumerd.parking.claims import claims_in, read_tasks
from consumerd.parking.records import key_of
from consumerd.parking.schema import PARKED, PARTS, SCHEDULES, TICKS

WAITING = ParkedState.WAITING.value
MOST_REVIVED = 100


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at a schedule's times finds: which are to run now, which were missed, and when it comes next.

    is_anew: its times begin anew, since they are others than before, or the clock was set back far.
    """

    made: Sequence[float]
    missed: Sequence[float]
    next_at: float
    is_anew: bool = False


class Judge(Protocol):
    """Finds what is due; see `sources.schedule.times.judge`."""

    def __call__(self, next_at: float | None, now: float, *, judged_at: float, is_same: bool) -> Due: ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as its ticks are made. edition: what its times are of, as text; overlap: as its option."""

    consumer: str
    edition: str
    judge: Judge
    overlap: Literal["skip", "queue", "allow"]


@dataclass(frozen=True, slots=True)
class ClaimedTick:
    """A tick that this process has. `record`: what is known of it, as JSON; `starts`: how often it has been begun."""

    consumer: str
    task_id: TaskId
    token: str
    scheduled_at: float
    record: bytes
    attempts: int
    first_at: float | None
    starts: int

    @property
    def is_held(self) -> ColumnElement[bool]:
        """What holds of its row while it is this process's."""
        return and_(TICKS.c.id == key_of(self.consumer, self.task_id), TICKS.c.lease_token == self.token)


@dataclass(frozen=True, slots=True)
class Look:
    """What came of a look.

    tick: the one that was claimed. wait_s: after which there may be something for a worker that can run one.
    make_s: the same, for one that only makes them. missed, skipped: the times that do not run.
    """

    tick: ClaimedTick | None
    wait_s: float
    make_s: float
    missed: Sequence[float] = ()
    skipped: Sequence[float] = ()
    is_anew: bool = False


def look(connection: Connection, schedule: Schedule, lease: Lease | None) -> Look:
    """Make the ticks that are due, and claim one; None: make them only. Nothing is written where nothing is due."""
    seen = _see(connection, schedule.consumer)
    is_free = lease is not None and _claimable_s(seen, schedule) <= 0
    if not (is_free or _is_due(seen, schedule)):
        return Look(None, *_waits(seen, schedule))
    row = _locked(connection, schedule, seen.now)
    _revive(connection, schedule.consumer)
    now = _now(connection)
    due = schedule.judge(row.next_at, now, judged_at=row.judged_at, is_same=row.edition == schedule.edition)
    skips = schedule.overlap == "skip" and due.made and _is_unfinished(connection, schedule.consumer)
    made, skipped = ((), due.made) if skips else (due.made, ())
    if due.next_at != row.next_at or due.is_anew:
        counted = {"missed": row.missed + len(due.missed), "skipped": row.skipped + len(skipped)}
        moved = {"edition": schedule.edition, "next_at": due.next_at, "judged_at": now, **counted}
        _move_on(connection, schedule.consumer, row.last_at, made, moved)
    tick = None if lease is None else _claim(connection, schedule, lease)
    return Look(tick, *_waits(_see(connection, schedule.consumer), schedule), due.missed, skipped, due.is_anew)


def _see(connection: Connection, consumer: str) -> Row[Any]:
    """What there is of a schedule, in one statement: when something is to be done, and for how many runs go on."""
    now = database_now(connection.dialect.name)
    of_consumer, has_lease = TICKS.c.consumer == consumer, TICKS.c.lease_token.is_not(None)
    waiting = and_(of_consumer, TICKS.c.state == WAITING)
    parked = and_(PARKED.c.consumer == consumer, PARKED.c.state == WAITING, PARKED.c.source == consumer)
    columns = {
        "now": now,
        "next_at": select(SCHEDULES.c.next_at).where(SCHEDULES.c.consumer == consumer).scalar_subquery(),
        "judged_at": select(SCHEDULES.c.judged_at).where(SCHEDULES.c.consumer == consumer).scalar_subquery(),
        "edition": select(SCHEDULES.c.edition).where(SCHEDULES.c.consumer == consumer).scalar_subquery(),
        "waiting_at": select(func.min(TICKS.c.due_at)).where(waiting, ~has_lease).scalar_subquery(),
        "lapses_at": select(func.min(TICKS.c.lease_until)).where(waiting, has_lease).scalar_subquery(),
        "busy_until": select(func.max(TICKS.c.lease_until)).where(waiting, has_lease).scalar_subquery(),
        "revived_at": select(func.min(PARKED.c.due_at)).where(parked).scalar_subquery(),
    }
    return connection.execute(select(*(column.label(name) for name, column in columns.items()))).one()


def _is_due(seen: Row[Any], schedule: Schedule) -> bool:
    if seen.next_at is None or seen.edition != schedule.edition or seen.next_at <= seen.now:
        return True
    is_back = seen.revived_at is not None and seen.revived_at <= seen.now
    return is_back or schedule.judge(seen.next_at, seen.now, judged_at=seen.judged_at, is_same=True).is_anew


def _claimable_s(seen: Row[Any], schedule: Schedule) -> float:
    """Seconds until a tick can be claimed, as far as is known now."""
    is_busy = schedule.overlap != "allow" and seen.busy_until is not None and seen.busy_until > seen.now
    times = [seen.busy_until] if is_busy else [seen.lapses_at, seen.waiting_at]
    return min((time - seen.now for time in times if time is not None), default=float("inf"))


def _waits(seen: Row[Any], schedule: Schedule) -> tuple[float, float]:
    times = (time - seen.now for time in (seen.next_at, seen.revived_at) if time is not None)
    make_s = max(0.0, min(times, default=0.0))
    return max(0.0, min(make_s, _claimable_s(seen, schedule))), make_s


def _locked(connection: Connection, schedule: Schedule, now: float) -> Row[Any]:
    """The schedule's row, which nobody else has until the transaction ends; a new one where there is none."""
    query = select(SCHEDULES).where(SCHEDULES.c.consumer == schedule.consumer).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        next_at = schedule.judge(None, now, judged_at=now, is_same=True).next_at
        values = {
            "consumer": schedule.consumer,
            "edition": schedule.edition,
            "next_at": next_at,
            "judged_at": now,
        }
        counts = {"finished": 0, "missed": 0, "skipped": 0}
        connection.execute(upsert(connection.dialect.name, SCHEDULES, {**values, **counts}, replaces=False))
        row = connection.execute(query).one()
    return row


def _move_on(
    connection: Connection, consumer: str, last_at: float | None, made: Sequence[float], moved: dict[str, Any]
) -> None:
    """Make these ticks, and have the schedule as it is from now on."""
    for scheduled_at in made:
        _add(connection, consumer, scheduled_at, last_at)
        last_at = scheduled_at
    changed = update(SCHEDULES).where(SCHEDULES.c.consumer == consumer)
    connection.execute(changed.values(last_at=last_at, **moved))


def _add(connection: Connection, consumer: str, at: float, previous: float | None, *, is_by_hand: bool = False) -> str:
    """Make the tick of a time; its task id. One that is there already stays as it is."""
    task_id = f"{consumer}:{iso(at)}" + ("~by-hand" if is_by_hand else "")
    record = {"scheduled": iso(at), "previous": None if previous is None else iso(previous), "by_hand": is_by_hand}
    _insert(connection, consumer, task_id, at, orjson.dumps(record))
    return task_id


def _insert(connection: Connection, consumer: str, task_id: str, at: float, record: bytes) -> None:
    names = {"id": key_of(consumer, task_id), "consumer": consumer, "task_id": task_id, "state": WAITING}
    values = {**names, "scheduled_at": at, "due_at": at, "record": record, "attempts": 0, "starts": 0}
    connection.execute(upsert(connection.dialect.name, TICKS, values, replaces=False))


def _is_unfinished(connection: Connection, consumer: str) -> bool:
    return bool(connection.execute(select(exists().where(TICKS.c.consumer == consumer))).scalar())


def _claim(connection: Connection, schedule: Schedule, lease: Lease) -> ClaimedTick | None:
    seen = _see(connection, schedule.consumer)
    if _claimable_s(seen, schedule) > 0:
        return None
    claims = _claims(connection.dialect.name)
    claims.go_by_index(connection)
    rows = claims.claim(connection, lease, 1, consumer=schedule.consumer)
    if not rows:
        return None
    key = rows[0][0]
    begun = {"starts": TICKS.c.starts + 1, "began_at": func.coalesce(TICKS.c.began_at, seen.now)}
    connection.execute(update(TICKS).where(TICKS.c.id == key).values(begun))
    row = connection.execute(select(TICKS).where(TICKS.c.id == key)).one()
    told = (row.scheduled_at, bytes(row.record), row.attempts, row.first_at, row.starts)
    return ClaimedTick(schedule.consumer, TaskId(row.task_id), lease.owner, *told)


def _revive(connection: Connection, consumer: str) -> None:
    """What was parked as dead and is to be tried again is a tick again, with its checkpoint."""
    due = and_(PARKED.c.consumer == consumer, PARKED.c.source == consumer, PARKED.c.state == WAITING)
    now = _now(connection)
    keys = connection.execute(select(PARKED.c.id).where(due, PARKED.c.due_at <= now).limit(MOST_REVIVED)).scalars()
    for task in read_tasks(connection, list(keys)):
        _insert(connection, consumer, task.task_id, task.offset, task.payload)
        for table in (PARTS, PARKED):
            connection.execute(delete(table).where(table.c.id == key_of(consumer, task.task_id)))


# For others


def release(connection: Connection, owner_prefix: str) -> int:
    """Give up the claims of owners whose names start so; how many they were."""
    return _claims(connection.dialect.name).release(connection, owner_prefix)


def make_by_hand(connection: Connection, consumers: Sequence[str]) -> list[str]:
    """Make a tick of each consumer that is due now, beside its times; their task ids."""
    now = _now(connection)
    rows = connection.execute(select(SCHEDULES.c.consumer, SCHEDULES.c.last_at))
    last = {row.consumer: row.last_at for row in rows}
    return [_add(connection, consumer, now, last.get(consumer), is_by_hand=True) for consumer in consumers]


def _now(connection: Connection) -> float:
    return float(connection.execute(select(database_now(connection.dialect.name))).scalar_one())


def _claims(dialect: str) -> Claims:
    return claims_in(dialect, TICKS.name, "ix_parked_tick_due", ())
