"""One worker: the tasks that it has in hand, what it ended last, how its predecessor ended, its stacks."""

from __future__ import annotations

from consumerd.cli.verb import Verb
from consumerd.dashboard.page import Context, Form, NotThereError, Page, Visit, verb_act
from consumerd.dashboard.pages.pool import pool_of
from consumerd.errors import ConsumerdError, UsageError
from consumerd.verbs.cancel import Cancel
from consumerd.verbs.stacks import Stacks, WorkerStacks
from consumerd.verbs.status import ShowStatus
from consumerd.wire.status import Status, WorkerStatus

LONGEST_SLOT = 9
MOST_TASKS = 100
"""So many tasks of a worker are listed, those that have run longest."""


def show(visit: Visit) -> Context:
    """What the template is given. While the master does not answer, what it said last of the worker."""
    name, slot = _named(visit)
    pool = pool_of(visit, name)
    worker = _slot(pool.workers, name, slot)
    try:
        status = visit.answer(ShowStatus(tasks=True, recent=True, target=name))
    except ConsumerdError:
        if not visit.seen.error:
            raise
    else:
        assert isinstance(status, Status)
        worker = _slot(status.pools[0].workers, name, slot)
    tasks = worker.tasks if isinstance(worker.tasks, list) else []
    running = sorted(tasks, key=lambda task: -task.busy_s)
    return {
        "pool": pool,
        "worker": worker,
        "name": f"{name}#{slot}",
        "tasks": running[:MOST_TASKS],
        "hidden_tasks": max(0, len(running) - MOST_TASKS),
    }


def show_stacks(visit: Visit) -> Context:
    """What its threads do at this moment."""
    name, slot = _named(visit)
    pool = pool_of(visit, name)
    worker = _slot(pool.workers, name, slot)
    found = visit.answer(Stacks(f"{name}#{slot}"))
    assert isinstance(found, WorkerStacks)
    return {"pool": pool, "worker": worker, "name": found.worker, "stacks": found.stacks}


def _named(visit: Visit) -> tuple[str, int]:
    given = visit.parameters
    name, slot = f"{given['group']}/{given['name']}", given["slot"]
    if not (slot.isascii() and slot.isdigit()) or len(slot) > LONGEST_SLOT:
        raise NotThereError(f"{name[:200]} has no worker {slot[:20]}: workers have numbers")
    return name, int(slot)


def _slot(workers: list[WorkerStatus], name: str, slot: int) -> WorkerStatus:
    found = next((worker for worker in workers if worker.slot == slot), None)
    if found is None:
        raise NotThereError(f"{name} has no worker {slot}")
    return found


def cancelled(form: Form) -> Verb:
    """Of a form with `task`, and `park` where it is to be parked."""
    if not form.get("task"):
        raise UsageError("no task was named: open the page of its worker, and choose one")
    return Cancel(form["task"], park=form.get("park") == "yes")


PAGE = Page("/pools/{group}/{name}/workers/{slot}", "Worker", "worker.html", show)
STACKS = Page("/pools/{group}/{name}/workers/{slot}/stacks", "Stacks", "stacks.html", show_stacks, is_live=False)
ACTS = (verb_act("cancel", cancelled),)
