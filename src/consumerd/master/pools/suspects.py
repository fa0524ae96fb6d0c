"""What a dead worker was running, and telling those who live. Runs in the master."""

from __future__ import annotations

import signal

from consumerd import clock, events
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


def note_end(pool: Pool, worker: Worker, slot: Slot, status: int | None) -> int:
    """Note what a worker was running when it ended; how often that did so, where it was known to, else 0.

    slot: its slot before. The board is read once more: the worker is dead.
    """
    reading, now = worker.reading(), clock.monotonic()
    task_id = None if reading is None else worker.ends.board.task_in_hand()
    if reading is None or task_id is None or len(task_id) > LONGEST_ID:
        return 0
    limit = pool.entry_of(slot.edition).settings.common.crash_limit
    lane = reading.lanes[0]  # a worker runs one task at a time
    if slot.condemned is not None and slot.condemned.parks(lane.shard, lane.cursor):
        _become(pool, pool.suspects.given_up(task_id, limit, now))
        return pool.suspects.deaths[task_id].total
    verdict, how = _verdict(pool, slot, exit_code(status)), worker_described(status)
    if verdict is Verdict.NOTHING:
        return 0
    before = pool.suspects.deaths.get(task_id)
    _become(pool, pool.suspects.after(task_id, verdict, how, now, known=lane.crashes))
    deaths = pool.suspects.deaths[task_id]
    fact = events.task_suspected(consumer=pool.consumer, task=task_id, crashes=deaths.counted, limit=limit, end=how)
    pool.tools.emit(fact)
    is_known = is_excused(before, verdict, known=lane.crashes, crash_limit=limit)
    return deaths.total if is_known else 0


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


def _verdict(pool: Pool, slot: Slot, code: int | None) -> Verdict:
    is_asked = slot.state is SlotState.DRAINING
    is_ours = slot.is_killed and not is_asked
    is_out_of_memory = code == -signal.SIGKILL and not slot.is_killed and pool.tools.claim_oom_kill()
    return judge(code, is_asked=is_asked, is_ours=is_ours, is_out_of_memory=is_out_of_memory)
