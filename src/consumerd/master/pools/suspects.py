"""What a dead worker was running, and telling those who live. Runs in the master."""

from __future__ import annotations

from consumerd import clock, events
from consumerd.errors import WireError
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.rules.observed import Slot
from consumerd.master.rules.suspects import Suspects, Verdict, is_excused, judge
from consumerd.model.exits import exit_code, worker_described
from consumerd.model.slots import SlotState
from consumerd.model.task import TaskId
from consumerd.wire import messages

LONGEST_ID = 10_000
"""A task with a longer id is not kept in mind: all workers would be told of it with each that dies."""


def note_end(pool: Pool, worker: Worker, slot: Slot, status: int | None, *, is_out_of_memory: bool) -> int:
    """Note what a worker was running when it ended; how often a task did so that was known to, else 0.

    slot: its slot before. is_out_of_memory: the kernel has killed it. The board is read once more: the worker is dead.
    """
    running = _blamed(worker, slot)
    if _is_to_be_parked(slot):
        return max((_give_up(pool, slot, task_id) for task_id in running), default=0)
    verdict = _verdict(slot, exit_code(status), is_out_of_memory=is_out_of_memory)
    how, stacks = _how(worker, slot, status)
    if verdict is Verdict.NOTHING or not running:
        return 0
    if len(running) == 1:
        return _suspect(pool, slot, running[0], verdict, how, known=_known(worker), stacks=stacks)
    found, now = pool.suspects, clock.monotonic()
    for task_id in running:
        found = found.after(task_id, verdict, how, now, known=0, is_alone=False)
    _become(pool, found)
    pool.tools.emit(events.tasks_suspected(consumer=pool.consumer, tasks=len(running), end=how))
    return 0


def _known(worker: Worker) -> int:
    """How many crashes a dead worker knew of the task that it ran alone, in whichever lane."""
    return max(lane.crashes for lane in worker.ends.board.read().lanes)


def _blamed(worker: Worker, slot: Slot) -> list[TaskId]:
    """The tasks that a worker ran and that its end may be laid to.

    Where it was killed for one that is known, that one alone: the others come again without blame.
    """
    try:
        running = worker.ends.board.tasks_in_hand()
    except WireError:
        return []
    culprit = None if slot.condemned is None else slot.condemned.lane
    if culprit is not None and (slot.is_killed or _is_to_be_parked(slot)):
        running = [(lane, task_id) for lane, task_id in running if lane.is_on(culprit)]
    return [task_id for _, task_id in running if task_id is not None and len(task_id) <= LONGEST_ID]


def _is_to_be_parked(slot: Slot) -> bool:
    return slot.condemned is not None and slot.condemned.does_park


def _give_up(pool: Pool, slot: Slot, task_id: TaskId) -> int:
    limit = pool.entry_of(slot.edition).settings.common.crash_limit
    _become(pool, pool.suspects.given_up(task_id, limit, clock.monotonic()))
    return pool.suspects.deaths[task_id].total


def _how(worker: Worker, slot: Slot, status: int | None) -> tuple[str, str]:
    """How a worker ended, as is told with its task; with its stacks, where it was killed for what that did."""
    if slot.condemned is not None and slot.is_killed and slot.condemned.blame:
        return f"killed, as it {slot.condemned.blame}", worker.ends.board.stacks()
    return worker_described(status), ""


def _suspect(pool: Pool, slot: Slot, task_id: TaskId, verdict: Verdict, how: str, *, known: int, stacks: str) -> int:
    """Count one death of a task that ran alone; how often it did so, where it was known to."""
    limit = pool.entry_of(slot.edition).settings.common.crash_limit
    before = pool.suspects.deaths.get(task_id)
    _become(pool, pool.suspects.after(task_id, verdict, how, clock.monotonic(), known=known, stacks=stacks))
    deaths = pool.suspects.deaths[task_id]
    fact = events.task_suspected(consumer=pool.consumer, task=task_id, crashes=deaths.counted, limit=limit, end=how)
    pool.tools.emit(fact)
    return deaths.total if is_excused(before, verdict, known=known, crash_limit=limit) else 0


def clear(pool: Pool, task_id: str) -> None:
    """A worker says that this task is no suspect any more."""
    _become(pool, pool.suspects.without(TaskId(task_id)))


def tell(pool: Pool) -> None:
    """Tell the workers, where the suspects are others. A turn does so last: who is forked in it knows already.

    Told are those that run, and those that start: their `Fork` may be under way with what was known then.
    """
    if not pool.are_suspects_told:
        pool.are_suspects_told = True
        pool.tell_workers(messages.Suspects(pool.suspects.told()))


def _become(pool: Pool, suspects: Suspects) -> None:
    pool.suspects, pool.are_suspects_told = suspects, False


def _verdict(slot: Slot, code: int | None, *, is_out_of_memory: bool) -> Verdict:
    is_asked = slot.state is SlotState.DRAINING
    is_ours = slot.is_killed and not is_asked
    return judge(code, is_asked=is_asked, is_ours=is_ours, is_out_of_memory=is_out_of_memory)
