"""What has ended, as the flight recorder of the board keeps it. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from consumerd.model.outcome import DONE
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch
from consumerd.wire.figures.counters import counter_of
from consumerd.wire.figures.recorder import Ended, Ran
from consumerd.worker.attempts.attempt import Conclusion, Unfinished

QUICK_S = 0.001
"""Tasks that took less, and are done one after the other, have one entry together."""


def ended_task(task: Task, conclusion: Conclusion, at: float) -> Ended:
    """One task. at: on the wall clock."""
    outcome = conclusion.outcome
    assert not isinstance(outcome, Unfinished)
    counted = counter_of(outcome, was_tried=conclusion.was_tried)
    return Ended(at, counted, task.shard, task.offset, task.offset, conclusion.ran, task.id)


def done_span(batch: Batch, first: int, last: int, task_id: TaskId | None, ran: Ran, at: float) -> Ended:
    """The tasks of a batch from one index to another, all of them done. task_id: of the last."""
    offset, raws = batch.offset, batch.raws
    return Ended(at, None, batch.shard, offset(raws[first]), offset(raws[last]), ran, task_id, 1 + last - first)


def folded(ended: Iterable[tuple[Task, Conclusion]], at: float) -> Iterator[Ended]:
    """Tasks in the order in which they have ended, quick ones that are done together."""
    before: Ended | None = None
    for task, conclusion in ended:
        now = ended_task(task, conclusion, at)
        if before is not None and conclusion.outcome is DONE and _are_one(before, now):
            tasks = before.tasks + 1
            mean_s = before.ran.seconds + (now.ran.seconds - before.ran.seconds) / tasks
            now = now._replace(first=before.first, tasks=tasks, ran=Ran(mean_s, is_about=True))
        elif before is not None:
            yield before
        before = now
    if before is not None:
        yield before


def _are_one(before: Ended, now: Ended) -> bool:
    is_quick = max(before.ran.seconds, now.ran.seconds) < QUICK_S
    return is_quick and before.outcome is None and before.shard == now.shard
