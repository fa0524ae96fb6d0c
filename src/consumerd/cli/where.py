"""`consumerd where TARGET TASK`: where a task is, in a sentence with its evidence.

Three tell of it: its source, the parking store, and the boards of the workers, which the master reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from consumerd.cli.asked import ask_source
from consumerd.cli.lines import printable
from consumerd.cli.options import call_option, config_option, json_option, state_dir_option
from consumerd.clock import SYSTEM_CLOCK, iso
from consumerd.config.amounts import duration
from consumerd.errors import NotRunningError
from consumerd.inquiry.asking import Plain
from consumerd.model.identity import ConsumerName
from consumerd.state import host_identity, locks
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection, call
from consumerd.wire.status import status_of

STORE_S = 60.0
NOT_FOUND = ("absent", "unknown")
HELD = ("claimed", "running")
_OF_PARKED = ("handle", "state", "due_at", "attempts", "crashes", "error")


@click.command()
@click.argument("target", metavar="TARGET")
@click.argument("task", metavar="TASK")
@call_option
@config_option
@state_dir_option
@json_option
def command(
    target: str, task: str, may_call: bool, config: str | None, state_dir: StateDirectory, as_json: bool
) -> int:
    """Say where a task of TARGET, a group/name, is: done, running, waiting, pending, parked, or unknown, and why.

    TASK is partition:offset of a Kafka topic; the key of a claimed table's row, or of a query's; the time of a run; or
    a task's id or handle, as consumerd parked list shows it. Nothing is changed. Exit code 1 where nobody
    knows of such a task.
    """
    name, found = ask_source(target, config, state_dir, "where", task=task, may_call=may_call)
    if config is None:  # the master may have been started with another parking store than its configuration names
        found["parked"] = _parked_with_master(state_dir, name, found["ids"])
    running, ended = _running(state_dir, name, found["ids"]), has_ended(state_dir, name, found["facts"].get("lease"))
    answer = concluded(found, running, now=SYSTEM_CLOCK.wall(), has_holder_ended=ended)
    if as_json:
        click.echo(json.dumps({"target": name, "task": task, **answer}, indent=2))
    else:
        click.echo(f"{answer['state']}: {printable(answer['told'])}")
    return 1 if answer["state"] in NOT_FOUND else 0


def _running(state_dir: StateDirectory, name: str, ids: Sequence[str]) -> Plain | None:
    """What the master knows of a worker that runs the task now; None where no worker of this master does."""
    try:
        status = status_of(call(state_dir.control_socket, "status", {"tasks": True}))
    except NotRunningError:
        return None
    for pool in status.pools:
        for worker in pool.workers if pool.name == name else ():
            for task in worker.tasks or ():
                if task.id is not None and task.id in ids:
                    return {"worker_id": worker.slot, "pid": worker.pid, "task": task.task, "busy_s": task.busy_s}
    return None


def has_ended(state_dir: StateDirectory, name: str, lease: str | None) -> bool:
    """Whether a lease, `id.group.name.slot#generation/number`, is that of a worker of this state directory, and no
    process is in its slot.
    """
    own_id = host_identity.known_id(state_dir)
    if own_id is None or lease is None:
        return False
    pool = re.escape(f"{own_id}.{ConsumerName.parse(name).dotted}.")
    holder = re.fullmatch(rf"{pool}(\d+)#\d+/\d+", lease)
    return holder is not None and not locks.is_slot_held(state_dir, name, int(holder[1]))


def _parked_with_master(state_dir: StateDirectory, name: str, ids: Sequence[str]) -> Plain | None:
    """What the master's parking store has of the task, as the probe would tell it."""
    with Connection(state_dir.control_socket) as master:
        pages = master.follow("parked.find", {"target": name, "ids": ids}, timeout_s=STORE_S)
        found = [each for page in pages for each in cast("list[Plain]", page)]
    task = next(iter(found), None)
    return None if task is None else {"id": task["task_id"], **{key: task[key] for key in _OF_PARKED}}


def concluded(found: Plain, running: Plain | None, *, now: float, has_holder_ended: bool = False) -> Plain:
    """The state of a task, the sentence that says why, and what both are made of. Pure.

    A worker that runs it knows best. What is parked goes before what its source says: there it is finished.
    has_holder_ended: the worker whose lease it has, or had last, is known to have ended.
    """
    state, told, parked = found["state"], found["told"], found["parked"]
    if has_holder_ended and state in HELD:
        told += "; that worker has ended: the task is free when the next of its slot starts, or when the lease runs out"
    if running is not None:
        state = "running"
        for_s = duration(running["busy_s"])
        told = f"worker {running['worker_id']} has run it for {for_s}; consumerd cancel {running['task']} ends that"
    elif parked is not None and parked["state"] == "suspect":
        times = "once" if parked["crashes"] == 1 else f"{parked['crashes']} times"
        told = f"{told}; a worker died while it ran, {times} so far"
    elif parked is not None:
        state, told = parked["state"], _parked(parked, now)
    facts = {**found["facts"], "ids": found["ids"]}
    return {"state": state, "told": told, "running": running, "parked": parked, "facts": facts}


def _parked(parked: Mapping[str, Any], now: float) -> str:
    tried = f"after {parked['attempts']} {'attempt' if parked['attempts'] == 1 else 'attempts'}"
    see = f"see consumerd parked show {parked['handle']}"
    if parked["state"] == "dead":
        return f"it is parked as dead {tried}, until somebody decides: {parked['error']}: {see}"
    due = parked["due_at"]
    when = "" if due is None else f" in {duration(max(0.0, due - now))} ({iso(due)})"
    return f"it is parked {tried}, and is tried again{when}: {parked['error']}: {see}"
