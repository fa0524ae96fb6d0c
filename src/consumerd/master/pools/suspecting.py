"""Suspecting: notes what a dead worker was running, and tells those who live. Runs in the master."""

from __future__ import annotations

import signal

from consumerd import clock, events
from consumerd.master.pools.acts import Means
from consumerd.master.pools.processes import Worker
from consumerd.master.rules.observed import Slot
from consumerd.master.rules.suspects import Verdict, is_excused, judge
from consumerd.master.rules.wait_status import exit_code
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import SlotState
from consumerd.model.task import TaskId
from consumerd.wire import messages

LONGEST_ID = 10_000
"""A task with a longer id is not kept in mind: all workers would be told of it with each that dies."""


def note_end(means: Means, name: ConsumerName, worker: Worker, slot: Slot, status: int | None, how: str) -> int:
    """Note what a worker was running when it ended; how often that did so, where it was known to, else 0.

    slot: its slot before; how: the end in words. The board is read once more: the worker is dead.
    """
    processes, reading = means.pools.processes[name], worker.reading()
    task_id = None if reading is None else worker.seating.board.task_in_hand()
    if reading is None or task_id is None or len(task_id) > LONGEST_ID:
        return 0
    lane = reading.lanes[0]  # a worker runs one task at a time
    if slot.condemned is not None and slot.condemned.parks(lane.shard, lane.cursor):
        limit = means.pools.entry_of(name, slot.edition).settings.common.crash_limit
        processes.suspects = processes.suspects.given_up(task_id, limit, clock.monotonic())
        processes.are_suspects_told = False
        return processes.suspects.deaths[task_id].total
    verdict = _verdict(means, slot, exit_code(status))
    before = processes.suspects.deaths.get(task_id)
    limit = means.pools.entry_of(name, slot.edition).settings.common.crash_limit
    processes.suspects = processes.suspects.after(task_id, verdict, how, clock.monotonic(), known=lane.crashes)
    if verdict is not Verdict.NOTHING:
        crashes = processes.suspects.deaths[task_id].counted
        fact = events.task_suspected(consumer=str(name), task=task_id, crashes=crashes, limit=limit, end=how)
        means.emit(fact)
        processes.are_suspects_told = False
    is_known = is_excused(before, verdict, known=lane.crashes, crash_limit=limit)
    return processes.suspects.deaths[task_id].total if is_known else 0


def clear(means: Means, name: ConsumerName, task_id: str) -> None:
    """A worker says that this task is no suspect any more."""
    processes = means.pools.processes[name]
    processes.suspects = processes.suspects.without(TaskId(task_id))
    processes.are_suspects_told = False


def tell(means: Means) -> None:
    """Tell the workers, where the suspects are others. A turn does so last: who is forked in it knows already."""
    for name, processes in means.pools.processes.items():
        if not processes.are_suspects_told:
            processes.are_suspects_told = True
            _tell(means, name)


def _verdict(means: Means, slot: Slot, code: int | None) -> Verdict:
    is_asked = slot.state is SlotState.DRAINING
    is_ours = slot.is_killed and not is_asked
    is_out_of_memory = code == -signal.SIGKILL and not slot.is_killed and means.claim_oom_kill()
    return judge(code, is_asked=is_asked, is_ours=is_ours, is_out_of_memory=is_out_of_memory)


def _tell(means: Means, name: ConsumerName) -> None:
    """Those that run, and those that start: their `Fork` may be under way with what was known then."""
    processes = means.pools.processes[name]
    told = messages.Suspects(processes.suspects.told())
    for slot, worker in processes.workers.items():
        if means.pools[name].slots[slot].is_occupied and not worker.has_ended():
            means.post.send(worker.seating.channel, told)
