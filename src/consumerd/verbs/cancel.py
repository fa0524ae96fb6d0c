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
    """End the attempt that a worker runs now: it is interrupted, and its task tried again a second later.

    TASK is group/name#WORKER, whatever that worker runs, or group/name#WORKER:SHARD:OFFSET, that task alone: see
    consumerd status --tasks. An attempt that has not ended within five seconds, in a long call of C code perhaps, is
    ended with its worker, whose stacks are kept: then tasks that were handled and not settled may come again, too.
    With --park the task is parked as dead, at once or when it comes again; one without an id cannot be told from others
    then, and is tried again.
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
        master.cancel(found, reason, does_park=self.park)
        parts = {"worker_id": found.slot, "shard": found.shard, "offset": found.offset}
        master.emit(events.task_cancelled(consumer=pool.consumer, **parts))
        master.wake()
        return Cancelled(str(found), pool.consumer, **parts)

    def lines(self, answer: Cancelled) -> Iterator[str]:
        then = "is parked as dead" if self.park else "is tried again"
        yield f"{answer.task}: cancelled, it {then}; if it has not ended in 5 s, its worker is replaced"


command = command_of(Cancel)
