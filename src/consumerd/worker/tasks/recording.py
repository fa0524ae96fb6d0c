"""What has ended, as the flight recorder of the board keeps it. Runs in workers and the foreground."""

from __future__ import annotations

from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch
from consumerd.wire.figures.counters import counter_of
from consumerd.wire.figures.recorder import Ended, Ran
from consumerd.worker.attempts.attempt import Conclusion, Unfinished


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
