"""`consumerd explain TARGET`: why a pool, a worker or a task is as it is now. It asks, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Sequence

import click
import msgspec

from consumerd import clock
from consumerd.cli.lines import note, printable, terminal_width
from consumerd.cli.options import json_option, state_dir_option
from consumerd.config.problems import did_you_mean
from consumerd.doctor.explaining import Known, Said, explain_pool, explain_worker
from consumerd.doctor.explaining_task import Parked, explain_parked, explain_running, explain_suspect
from consumerd.doctor.past import MOST_EVENTS, Act, Happened, acts_in, events_in
from consumerd.errors import ConsumerdError, UsageError
from consumerd.model.identity import ConsumerName
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection
from consumerd.wire.method import read_answer
from consumerd.wire.status import LimitStatus, PoolStatus, status_of

EVENTS_S = 5.0
"""So long the master may take for each event."""

AUDIT_BYTES = 1024 * 1024
"""So much of the audit log is read, from its end."""

STORE_S = 60.0
"""So long the parking store may take to show a task."""

_WORKER = re.compile(r"(?P<pool>[^#]+)#(?P<slot>\d{1,9})(?P<task>:\d{1,20}:\d{1,20})?")


class _Limits(msgspec.Struct, frozen=True):
    limits: list[LimitStatus]


class _Destination(msgspec.Struct, frozen=True):
    name: str
    next_probe_s: float | None


class Explained(msgspec.Struct, frozen=True):
    """What is explained, and how."""

    target: str
    because: list[Said]


@click.command()
@click.argument("target")
@state_dir_option
@json_option
def command(target: str, state_dir: StateDirectory, as_json: bool) -> None:
    """Say why TARGET is as it is now, in a few sentences.

    TARGET is a group or group/name, a worker as group/name#WORKER, or a task: its id, its handle where it is parked, or
    group/name#WORKER:SHARD:OFFSET. What is wrong, and what to do about it, says consumerd doctor.
    """
    with Connection(state_dir.control_socket) as master:
        found = _Explainer(master, state_dir).explain(target)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
        return
    for explained in found:
        click.echo(printable(explained.target))
        for said in explained.because:
            click.echo("\n".join(note(said.sentence, terminal_width())))


class _Explainer:
    """Gathers what is known, and has it explained."""

    def __init__(self, master: Connection, state_dir: StateDirectory) -> None:
        self._master = master
        self._status = status_of(master.call("status", {"tasks": True}))
        self._acts = _acts(state_dir)

    def explain(self, target: str) -> list[Explained]:
        """Of each pool that is meant, of one worker, or of one task."""
        pools = [pool for pool in self._status.pools if ConsumerName.parse(pool.name).matches(target)]
        if pools:
            return [Explained(pool.name, explain_pool(self._known(pool))) for pool in pools]
        match = _WORKER.fullmatch(target)
        if match is not None and (pool := self._status.pool(match["pool"])) is not None:
            return [Explained(target, self._worker(pool, int(match["slot"]), target, of_task=bool(match["task"])))]
        return [Explained(target, self._task(target))]

    def _worker(self, pool: PoolStatus, slot: int, target: str, *, of_task: bool) -> list[Said]:
        worker = next((worker for worker in pool.workers if worker.slot == slot), None)
        if worker is None:
            slots = ", ".join(str(worker.slot) for worker in pool.workers)
            raise UsageError(f"{pool.name} has no worker {slot}: it has {slots or 'none'}")
        said = explain_worker(self._known(pool), worker)
        if not of_task:
            return said
        task = next((task for task in worker.tasks or () if task.task == target), None)
        gone = [Said("task", "It does not run that task any more.")]
        return [*(gone if task is None else explain_running(task)), *said]

    def _task(self, name: str) -> list[Said]:
        running = [task for pool in self._status.pools for worker in pool.workers for task in worker.tasks or ()]
        task = next((task for task in running if name in (task.id, task.task)), None)
        if task is not None:
            return explain_running(task)
        try:
            pages = list(self._master.follow("parked.show", {"reference": name}, timeout_s=STORE_S))
        except ConsumerdError as error:
            dying = [pool.name for pool in self._status.pools if pool.suspects]
            if said := [each for pool in dying for each in explain_suspect(name, self._happened(pool))]:
                return said
            names = [pool.name for pool in self._status.pools]
            here = f"no consumer, no worker and no task that runs now is called {name!r}{did_you_mean(name, names)}"
            raise UsageError(f"{here}; and {error}") from error
        (parked,) = (task for page in pages for task in read_answer(page, list[Parked], "parked.show"))
        pool = self._status.pool(parked.consumer)
        return explain_parked(parked, None if pool is None else self._known(pool), self._acts, clock.wall())

    def _known(self, pool: PoolStatus) -> Known:
        limits = read_answer(self._master.call("limits", {"targets": [pool.name]}), _Limits, "limits").limits
        plain = self._master.call("destinations", {"target": pool.name})
        destinations = read_answer(plain, list[_Destination], "destinations")
        probes = {each.name: each.next_probe_s for each in destinations if each.next_probe_s is not None}
        return Known(pool, clock.wall(), limits, self._happened(pool.name), self._acts, probes)

    def _happened(self, name: str) -> Sequence[Happened]:
        kept = events_in(self._master.follow("events", {"recent": MOST_EVENTS, "follow": False}, timeout_s=EVENTS_S))
        return [each for each in kept if each.consumer in ("", name)]


def _acts(state_dir: StateDirectory) -> list[Act]:
    """What the end of the audit log has; nothing where it may not be read, is not there, or is no regular file: another
    user's pipe or device would hold up whoever reads it.
    """
    try:
        with os.fdopen(os.open(state_dir.audit_log, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return []
            file.seek(max(0, found.st_size - AUDIT_BYTES))
            return acts_in(file.read(AUDIT_BYTES).decode("utf-8", "replace").splitlines())
    except OSError:
        return []
