"""A worker's process as the master has it, and how one has ended, in words. Runs in the master."""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field

from consumerd import events
from consumerd.errors import WireError
from consumerd.master.host.launcher import WorkerEnds
from consumerd.master.rules.watch import Observation, Stuck
from consumerd.wire.board import Board, Reading
from consumerd.wire.figures.recorder import recording_in
from consumerd.wire.messages import Reported
from consumerd.wire.status import EndedTasks, Flag, LastEnd, Recent

MOST_SHOWN = 20
"""So many of the tasks that a dead worker was running are told."""


@dataclass
class Worker:
    """A worker's process, from the fork that was asked for until it is reaped.

    generation: of its slot.
    holder: its number in the shared table.
    ends: the master's ends of what it has.
    pid, pidfd: None until its zygote has named it.
    jitter: its own, from [0, 1), by which it is recycled earlier.
    holder_looked_at: when it was last looked who holds its slot's lock, for which it waits.
    ready_at: when its loop began.
    observation: how it was last seen.
    stuck: why it makes no progress, as of the observation.
    memory_bytes: its own, as read at memory_read_at.
    away: by its reports, what is away (`store`, `source`, `destination`, `starved`).
    silent_since: when its channel ended.
    failed: by its reports, the last error of a task, or what it ends of, with `error` and, for an end, `traceback`.
    """

    generation: int
    ends: WorkerEnds
    holder: int | None = None
    pid: int | None = None
    pidfd: int | None = None
    jitter: float = 0.0
    holder_looked_at: float | None = None
    ready_at: float | None = None
    observation: Observation | None = None
    stuck: Stuck | None = None
    memory_bytes: int | None = None
    memory_read_at: float | None = None
    away: dict[str, Flag] = field(default_factory=dict)
    silent_since: float | None = None
    failed: Reported | None = None

    def reading(self) -> Reading | None:
        """Its board; None where a crash has left nonsense on it."""
        try:
            return self.ends.board.read()
        except WireError:
            return None

    def loop_s(self, now: float) -> float:
        """How long it has been in its loop."""
        return 0.0 if self.ready_at is None else now - self.ready_at

    def told_end(self) -> tuple[str, str]:
        """Error and traceback of what it has reported itself to end of; empty where it has not."""
        if self.failed is None or self.failed.name != events.consume_failed.name:
            return "", ""
        return str(self.failed.fields.get("error", "")), str(self.failed.fields.get("traceback", ""))

    def has_ended(self) -> bool:
        """Whether its process is dead, though nobody may have reaped it yet."""
        if self.pidfd is None:
            return False
        ends = select.poll()
        ends.register(self.pidfd, select.POLLIN)
        return bool(ends.poll(0))

    def close(self) -> None:
        """Close what is neither the channel nor the stderr pipe: those end where they are read."""
        self.ends.board.close()
        if self.pidfd is not None:
            os.close(self.pidfd)


def recent_of(board: Board) -> Recent:
    """What a worker has ended last."""
    recording = recording_in(board.words)
    ended = [
        EndedTasks(
            at=round(each.at, 6),
            outcome="done" if each.outcome is None else each.outcome.name.lower().replace("_", " "),
            tasks=each.tasks,
            took_s=round(each.ran.seconds, 9),
            is_about=each.ran.is_about,
            shard=each.shard,
            first=each.first,
            last=each.last,
            id=each.task_id,
        )
        for each in reversed(recording.ended)
    ]
    return Recent(ended=ended, torn=recording.torn)


def running_in(board: Board) -> list[str]:
    """The ids of the tasks that a dead worker was running, the first of them; of one that has none, its offset."""
    try:
        running = board.tasks_in_hand()
    except WireError:
        return []
    return [str(task_id or f"offset {lane.cursor} of shard {lane.shard}") for lane, task_id in running[:MOST_SHOWN]]


def told_recent(last: LastEnd) -> str:
    """What a dead worker had ended last, in words; empty where that is nothing."""
    if last.recent is None or not last.recent.ended:
        return ""
    newest = last.recent.ended[0]
    tasks = "1 task" if newest.tasks == 1 else f"{newest.tasks} tasks"
    about, name = "about " if newest.is_about else "", newest.id or f"offset {newest.last} of shard {newest.shard}"
    took = f"{about}{newest.took_s:.3g} s each" if newest.tasks > 1 else f"in {about}{newest.took_s:.3g} s"
    return f"{tasks} up to {name}: {newest.outcome}, {took}, {max(0.0, last.at - newest.at):.3g} s before"
