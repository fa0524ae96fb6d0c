"""What people ask of a schedule: what became of a run, and which come next. Runs in probes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row

from consumerd.clock import iso, wall
from consumerd.errors import UsageError
from consumerd.model.task import TaskId
from consumerd.sources.askable import AskContext, Message, TaskState, Upcoming, Whereabouts
from consumerd.sources.schedule.options import ScheduleOptions
from consumerd.sources.schedule.standing import Standing, standing


class AskedSchedule:
    """One schedule, as the parking store has it."""

    def __init__(self, context: AskContext) -> None:
        self._context = context
        self._options: ScheduleOptions = context.options

    def where(self, task: str) -> Whereabouts:
        """The run at a time. Of those that are over it is not kept which were done, and which were left out."""
        at, found = self._time(task), self._standing()
        task_id = TaskId(f"{self._context.name}:{iso(at)}")
        ids = (task_id, TaskId(f"{task_id}~by-hand"))
        tick = next((each for each in found.ticks if each.task_id in ids), None)
        if tick is not None:
            return self._of_tick(tick, found.now, ids)
        when, row = iso(at), found.schedule
        if self._options.times_after(at - 0.001, 1)[0] != at:
            told = f"the schedule has no run at {when}: the next one after it is at {self._next_after(at)}"
            return Whereabouts(TaskState.ABSENT, told, ids)
        if at > found.now or row is None or at >= row.next_at:
            told = (
                f"the run at {when} is not due yet" if at > found.now else f"no worker has made the run at {when} yet"
            )
            return Whereabouts(TaskState.WAITING if at > found.now else TaskState.PENDING, told, ids)
        facts = {"last_at": row.last_at, "finished": row.finished, "missed": row.missed, "skipped": row.skipped}
        if not (row.missed or row.skipped):
            told = f"the run at {when} is over: it neither waits nor is parked, and none was ever missed or skipped"
            return Whereabouts(TaskState.DONE, told, ids, facts)
        told = (
            f"the run at {when} is over: it was done, or is one of the {row.missed} that were missed and {row.skipped} "
            "that were skipped, which the log tells as ticks_missed and ticks_skipped"
        )
        return Whereabouts(TaskState.UNKNOWN, told, ids, facts)

    def peek(self, limit: int) -> Sequence[Upcoming]:
        """The runs that are due or wait, then those whose times come."""
        found = self._standing()
        waiting = [
            Upcoming(iso(tick.scheduled_at), TaskId(tick.task_id), b"", note=self._of_tick(tick, found.now, ()).told)
            for tick in found.ticks
        ][:limit]
        since = wall() if found.schedule is None else max(found.schedule.next_at - 0.001, found.now)
        times = self._options.times_after(since, limit - len(waiting)) if len(waiting) < limit else ()
        return [*waiting, *(Upcoming(iso(at), None, b"", note="comes then") for at in times)]

    def send(self, messages: Sequence[Message]) -> Sequence[str | None]:
        """Its runs come by the clock."""
        name = self._context.name
        raise UsageError(
            f"{name} is a schedule, whose runs come by the clock: have one made with consumerd run-now {name}"
        )

    def _of_tick(self, tick: Row[Any], now: float, ids: tuple[TaskId, ...]) -> Whereabouts:
        """What a run's row says: it is kept until the run is done."""
        run, facts = f"the run at {iso(tick.scheduled_at)}", {"starts": tick.starts, "attempts": tick.attempts}
        if tick.lease_until is not None and tick.lease_until > now:
            owner = str(tick.lease_token).partition("/")[0]
            since = now if tick.began_at is None else tick.began_at
            told, facts = f"{run} goes on since {iso(since)}, on {owner}", {**facts, "lease": tick.lease_token}
            return Whereabouts(TaskState.RUNNING, told, ids, facts)
        if tick.due_at > now:
            tried = f", after {tick.attempts} {'attempt' if tick.attempts == 1 else 'attempts'}"
            return Whereabouts(TaskState.WAITING, f"{run} is tried again at {iso(tick.due_at)}{tried}", ids, facts)
        return Whereabouts(
            TaskState.PENDING, f"{run} is due since {iso(tick.due_at)}, and no worker has it", ids, facts
        )

    def _standing(self) -> Standing:
        if self._context.store is None:
            return Standing(wall(), None, ())
        return self._context.store.database.read(partial(standing, consumer=self._context.name))

    def _time(self, task: str) -> float:
        """The time that a person names: as ISO 8601, in the schedule's own zone where it names none; or a run's id."""
        text = task.removeprefix(f"{self._context.name}:").removesuffix("~by-hand")
        try:
            time = datetime.fromisoformat(text)
            return (time if time.tzinfo is not None else time.replace(tzinfo=self._options.zone)).timestamp()
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{task!r} is no time: name the run by its time, such as 2026-03-29T01:00:00Z") from error

    def _next_after(self, at: float) -> str:
        return iso(self._options.times_after(at, 1)[0])
