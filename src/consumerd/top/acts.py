"""What the keys of `consumerd top` do: a question that says what will happen, and the verb that does it.

An act is made of what was seen; it is the same verb that the command line has, and says what that says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET

from consumerd.cli.verb import Verb
from consumerd.config.amounts import duration
from consumerd.model.slots import MOST_WORKERS
from consumerd.state.state_dir import StateDirectory
from consumerd.verbs.cancel import Cancel
from consumerd.verbs.parked.asking import added_up
from consumerd.verbs.parked.methods import ParkedRetry
from consumerd.verbs.parked.view import render_changed
from consumerd.verbs.pause import Pause, Resume
from consumerd.verbs.restart import Restart
from consumerd.verbs.scale import AUTO, Scale, usual_most
from consumerd.wire.method import ask, follow
from consumerd.wire.status import PoolStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class Act:
    """question: what will happen, to be agreed to; command: what one would write for it."""

    question: str
    command: str
    verb: Verb | ParkedRetry


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is nothing to do."""

    why: str


Offer = Act | Refusal


def more(pool: PoolStatus) -> Offer:
    return _scaled(pool, pool.workers_wanted + 1)


def fewer(pool: PoolStatus) -> Offer:
    return _scaled(pool, pool.workers_wanted - 1)


def _scaled(pool: PoolStatus, workers: int) -> Offer:
    if not 1 <= workers <= MOST_WORKERS:
        return Refusal(f"{pool.name} has {pool.workers_wanted} of 1 to {MOST_WORKERS} workers: p pauses it")
    question = (
        f"Run {workers} {'worker' if workers == 1 else 'workers'} of {pool.name}, in the place of "
        f"{pool.workers_wanted}? The number holds, over restarts of the master too, until you leave it to the "
        "configuration again (key a)."
    )
    is_sure = workers > usual_most()  # as one who agrees to the question
    command = f"consumerd scale {pool.name} {workers}{' --yes' if is_sure else ''}"
    return Act(question, command, Scale(pool.name, workers, is_sure))


def automatic(pool: PoolStatus) -> Offer:
    if pool.workers_pinned is None:
        return Refusal(f"{pool.name} already has as many workers as its configuration says")
    question = (
        f"Leave the number of workers of {pool.name} to the configuration again? By hand it is {pool.workers_pinned}."
    )
    return Act(question, f"consumerd scale {pool.name} {AUTO}", Scale(pool.name, UNSET))


def paused_or_resumed(pool: PoolStatus) -> Offer:
    if pool.is_paused:
        question = f"Let the workers of {pool.name} fetch tasks again?"
        return Act(question, f"consumerd resume {pool.name}", Resume(pool.name))
    question = (
        f"Pause {pool.name}? Its workers finish what they have in hand and fetch nothing more, until it is resumed; "
        "over restarts of the master too."
    )
    return Act(question, f"consumerd pause {pool.name}", Pause(pool.name))


def restarted(pool: PoolStatus) -> Offer:
    question = (
        f"Restart the workers of {pool.name}, slot by slot, with the code as it is now? Each finishes its task first. "
        "If the first one does not hold up, the others keep what they run."
    )
    return Act(question, f"consumerd restart {pool.name}", Restart(pool.name))


def cancelled(pool: PoolStatus, worker: WorkerStatus | None) -> Offer:
    task = None if worker is None or worker.task is UNSET else worker.task
    if worker is None or task is None:
        return Refusal("the worker at the cursor runs no task now")
    so_far = f", which it has run for {duration(worker.busy_s)}" if isinstance(worker.busy_s, float) else ""
    question = (
        f"End the attempt of worker {worker.slot} at {_name_of(worker, task)}{so_far}? The task is tried again. If the "
        "attempt has not ended in 5 s, the worker is replaced, and what it had handled and not settled comes again."
    )
    return Act(question, f"consumerd cancel {task}", Cancel(task))


def _name_of(worker: WorkerStatus, task: str) -> str:
    ids = {each.task: each.id for each in worker.tasks} if worker.tasks is not UNSET else {}
    return ids.get(task) or task


def retried(pool: PoolStatus, now: float) -> Offer:
    """now: on the wall clock; what is parked later stays."""
    parked = pool.parked_now
    if parked is None or not parked.waiting + parked.dead:
        return Refusal(f"{pool.name} has no parked tasks, as counted {'never' if parked is None else 'last'}")
    question = (
        f"Have all parked tasks of {pool.name} handled again now? As last counted, {parked.dead} are dead and "
        f"{parked.waiting} wait. Those that fail again are parked again. Is what they failed of mended?"
    )
    verb = ParkedRetry(target=pool.name, all=True, until=now)
    return Act(question, f"consumerd parked retry --all --target {pool.name}", verb)


def perform(state_dir: StateDirectory, act: Act) -> str:
    """Do it; what came of it, in words. ConsumerdError with one sentence where it could not be done."""
    verb = act.verb
    if isinstance(verb, ParkedRetry):
        items = added_up([item for page in follow(state_dir.control_socket, verb) for item in page])
        return "\n".join(render_changed(verb.verb(), items, is_dry=False)) or "nothing was parked any more"
    return "\n".join(verb.lines(ask(state_dir.control_socket, verb)))


OF_POOLS: dict[str, Callable[[PoolStatus], Offer]] = {
    "more": more,
    "fewer": fewer,
    "automatic": automatic,
    "pause": paused_or_resumed,
    "restart": restarted,
}
"""By the names of the keys' actions."""
