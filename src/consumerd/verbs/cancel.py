"""`consumerd cancel TASK`: end the attempt that a worker runs now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec

from consumerd import events
from consumerd.cli.verb import Verb, command_of
from consumerd.errors import UsageError
from consumerd.wire.method import parameter

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls


class Cancelled(msgspec.Struct, frozen=True):
    """The task, as `group/name#WORKER:SHARD:OFFSET`, and the same in parts."""

    task: str
    consumer: str
    worker_id: int
    shard: int
    offset: int


class Cancel(Verb, frozen=True):
    """End the attempt that a worker runs now, by replacing the worker; its stacks are kept.

    TASK is group/name#WORKER, whatever that worker runs, or group/name#WORKER:SHARD:OFFSET, that task alone: see
    consumerd status --workers. The task is not done: it comes again, and its source's other tasks that were
    handled and not settled may too. An attempt that ends within a second is let go on. With --park a task that hangs
    for good is parked when it comes again; one without an id cannot be told from others, and comes again.
    """

    name, result, is_act = "cancel", Cancelled, True
    task: Annotated[str, parameter("group/name#WORKER, or group/name#WORKER:SHARD:OFFSET.", "TASK")]
    park: Annotated[bool, parameter("Park the task as dead; it is not run again before somebody retries it.")] = False

    async def answer(self, master: Controls, by: str) -> Cancelled:
        found = master.running_task(self.task)
        pool = master.pools[found.pool]
        if self.park and pool.traits.get("gives_away", False):
            sentence = "its source has given the task away, so that it cannot be parked: cancel it without --park"
            raise UsageError(f"{found}: {sentence}")
        reason = f"cancelled by an operator, on offset {found.offset} of shard {found.shard}"
        master.condemn(found, reason, does_park=self.park)
        parts = {"worker_id": found.slot, "shard": found.shard, "offset": found.offset}
        master.emit(events.task_cancelled(consumer=pool.consumer, **parts))
        master.wake()
        return Cancelled(str(found), pool.consumer, **parts)

    def lines(self, answer: Cancelled) -> Iterator[str]:
        then = "its worker is being replaced" + (", and it will be parked as dead" if self.park else "")
        yield f"{answer.task}: cancelled, {then}"


command = command_of(Cancel)
