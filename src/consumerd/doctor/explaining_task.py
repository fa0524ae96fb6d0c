"""Why a task is where it is: parked, run by a worker, or neither. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from consumerd import clock
from consumerd.doctor.explaining import Known, Said, what_holds
from consumerd.doctor.past import Act, Happened
from consumerd.doctor.suspects import suspects_in, told
from consumerd.wire.status import TaskStatus


class Parked(Struct, frozen=True):
    """A task as `parked show` tells of it; of its fields those that explain it."""

    handle: str
    consumer: str
    task_id: str
    state: str
    due_at: float | None
    attempts: int
    first_at: float
    last_at: float
    error: str
    crashes: int


def explain_parked(task: Parked, pool: Known | None, acts: Sequence[Act], at: float) -> list[Said]:
    """pool: of its consumer, where the master runs it. acts: what people did, oldest first."""
    told = [("state", _state(task)), ("by_hand", _by_hand(task, acts)), ("next", _next(task, pool, at))]
    return [Said(about, sentence) for about, sentence in told if sentence]


def explain_running(task: TaskStatus) -> list[Said]:
    """A task that a worker runs now."""
    worker = task.task.partition(":")[0]
    doing = f"{worker} runs {task.id or task.task}, for {task.busy_s:.0f} s at most."
    then = f"To end the attempt: consumerd cancel {task.task}. Of its worker: consumerd explain {worker}."
    return [Said("doing", doing), Said("next", then)]


def explain_suspect(name: str, happened: Sequence[Happened]) -> list[Said]:
    """A task of which workers have died, as the events of its pool tell; nothing where they do not."""
    found = [each for each in suspects_in(happened) if each.task == name]
    return [Said("task", f"{told(each)}. It is run alone.") for each in found]


def _state(task: Parked) -> str:
    times = "one attempt" if task.attempts == 1 else f"{task.attempts} attempts since {clock.iso(task.first_at)}"
    failed = f"the last, at {clock.iso(task.last_at)}, failed: {task.error}"
    if task.state == "suspect":
        died = f"{task.task_id} of {task.consumer} was running when workers died, {task.crashes} times"
        return f"{died}; it is run alone, and parked where it kills too many."
    return f"{task.task_id} of {task.consumer} is parked as {task.state}, after {times}; {failed}."


def _by_hand(task: Parked, acts: Sequence[Act]) -> str:
    for act in reversed(acts):
        named = [str(reference) for reference in act.params.get("references", ())]
        is_it = any(task.handle.startswith(each) or each == task.task_id for each in named)
        if is_it and act.method == "parked.retry" and not act.params.get("dry_run"):
            return f"{act.by} had it retried at {clock.moment(act.at)}."
    return ""


def _next(task: Parked, pool: Known | None, at: float) -> str:
    if task.state == "dead":
        again = f"consumerd parked retry {task.handle}"
        return f"Nobody tries it again before a person decides: {again}, or consumerd parked discard {task.handle}."
    if pool is None:
        return f"The master does not run {task.consumer}, so that it is not tried here."
    if task.due_at is not None and task.due_at > at:
        return f"Its next attempt is due in {task.due_at - at:.0f} s, at {clock.iso(task.due_at)}."
    reason = what_holds(pool)
    return f"It is due, and held back: {reason}." if reason else "It is due, and is tried when a worker comes to it."
