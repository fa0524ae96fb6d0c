"""What a master answers about parked tasks. A store helper does the work, for the master or for the command itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec

from consumerd.errors import UsageError
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import SlotState
from consumerd.wire.messages import StoreRequest
from consumerd.wire.method import Method, parameter, result_text

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls
    from consumerd.master.pools.pool import Pool
    from consumerd.master.pools.pools import Pools


MOST_COUNTED = 100_000
"""So many tasks are counted by their error, those that failed last."""


REFUSES_RECORD = "its record is not changed: "


class ParkedMethod(Method, frozen=True, kw_only=True):
    """One request to the store helper, whose answer comes page by page: an item is a list, empty where a step found
    nothing. What narrows it down is None where it does not.

    since, until: on the wall clock, when the last attempt failed.
    """

    is_stream, timeout_s = True, 60.0
    target: Annotated[
        str | None, parameter("Only tasks of this group, or group/name; one of others by its full name.", "TARGET")
    ] = None

    @classmethod
    def verb(cls) -> str:
        """As the command line calls it."""
        return cls.name.removeprefix("parked.")

    async def items(self, master: Controls, by: str) -> AsyncGenerator[str]:
        async for page in master.helper.ask(self.request(tuple(master.consumers()))):
            yield result_text(page)

    def request(self, consumers: tuple[str, ...] | None) -> StoreRequest:
        """What the store helper is asked."""
        return StoreRequest(self.name, self.parameters(), consumers)


class Narrowed(ParkedMethod, frozen=True, kw_only=True):
    """One request on the tasks that all of this chooses."""

    state: Annotated[str | None, parameter("Only tasks in this state.")] = None
    error: Annotated[str | None, parameter("Only tasks that have this in their error.", "TEXT")] = None
    text: Annotated[str | None, parameter("Only tasks with this in id, error, traceback or payload.", "TEXT")] = None
    since: Annotated[float | None, parameter("Only tasks that failed last since then.", "2h|3d|DATE")] = None
    until: Annotated[float | None, parameter("Only tasks that failed last before then.", "2h|3d|DATE")] = None
    where: Annotated[
        str | None, parameter("Only tasks whose record has this, as user.id=5 or items[0].sku=abc.", "PATH=VALUE")
    ] = None


class ParkedErrors(Narrowed, frozen=True, kw_only=True):
    """Count parked tasks by consumer and error, of the newest failures; an item for each, the most frequent first."""

    name = "parked.errors"


class ParkedList(Narrowed, frozen=True, kw_only=True):
    """List parked tasks, the newest failure first."""

    name = "parked.list"
    limit: Annotated[int | None, parameter("So many, the newest first.")] = None


class ParkedShow(ParkedMethod, frozen=True, kw_only=True):
    """Show one task whole."""

    name = "parked.show"
    reference: Annotated[str, parameter("A handle, at least 4 characters of it, or a task id.", "HANDLE")]


class ParkedFind(ParkedMethod, frozen=True, kw_only=True):
    """Those of some tasks that are parked, as of `parked.show`; of the others nothing is said."""

    name = "parked.find"
    ids: Annotated[tuple[str, ...], parameter("Their ids, whole.")]


class ParkedEdit(ParkedMethod, frozen=True, kw_only=True):
    """Give one task another record before it is tried again; `edited.log` in the state directory keeps what it was.

    The running master is needed: it knows whether the record of a task is the consumer's, or a row of the user's.
    """

    name, is_act, payloads = "parked.edit", True, ("record",)
    reference: Annotated[str, parameter("A handle, at least 4 characters of it, or a task id.", "HANDLE")]
    record: Annotated[str | None, parameter("The new record; @- reads it from stdin.", "JSON|@FILE")] = None
    dry_run: Annotated[bool, parameter("Only find out whether it can be.")] = False

    async def items(self, master: Controls, by: str) -> AsyncGenerator[str]:
        checking = msgspec.structs.replace(self, dry_run=True)
        async for page in master.helper.ask(checking.request(tuple(master.consumers()))):
            for item in page:
                if why := _why_not_edited(master.pools, str(item["consumer"])):
                    raise UsageError(f"{REFUSES_RECORD}{why}")
        async for text in super().items(master, by):
            yield text


class ParkedChange(Narrowed, frozen=True, kw_only=True):
    """Change tasks chosen by handles, or `all` that the rest narrows down. An item for each step and consumer."""

    is_act = True
    references: Annotated[tuple[str, ...], parameter("Handles, or task ids.", "[HANDLE]...")] = ()
    all: Annotated[bool, parameter("All that the others choose, of the consumers run here.")] = False
    dry_run: Annotated[bool, parameter("Only count them.")] = False


class ParkedDiscard(ParkedChange, frozen=True, kw_only=True):
    """Delete tasks for good."""

    name = "parked.discard"


class ParkedRetry(ParkedChange, frozen=True, kw_only=True):
    """Have tasks handled again now, or so many a second; the workers look at the store at once."""

    name = "parked.retry"
    rate: Annotated[float | None, parameter("Spread them over time: so many a second, minute or hour.", "50/s")] = None

    async def items(self, master: Controls, by: str) -> AsyncGenerator[str]:
        await self._check_run(master)
        try:
            async for page in super().items(master, by):
                yield page
        finally:
            master.wake_workers()

    async def _check_run(self, master: Controls) -> None:
        """UsageError where one of the tasks that are asked for is of a pool that would not run it."""
        why = unrun(master.pools, master.configuration.disabled)
        if not why:
            return
        counting = msgspec.structs.replace(self, dry_run=True)
        async for page in master.helper.ask(counting.request(tuple(master.consumers()))):
            for item in page:
                if not item["is_left"] and item["tasks"] and str(item["consumer"]) in why:
                    raise UsageError(f"nothing is retried: {why[str(item['consumer'])]}")


class Wake(Method, frozen=True):
    """Have workers look at the parking store now."""

    name, result = "wake", dict[str, int]
    target: Annotated[str | None, parameter("Only those of a group, or group/name.")] = None

    async def answer(self, master: Controls, by: str) -> dict[str, int]:
        return {"workers": master.wake_workers(self.target)}


def unrun(pools: Pools, disabled: Iterable[ConsumerName]) -> Mapping[str, str]:
    """By the consumer's name, why none of its tasks is run now, in a sentence that says what to do."""
    found = {pool.consumer: why for pool in pools if (why := _why_unrun(pool)) is not None}
    return found | {
        str(name): f"{name} is disabled: set enabled to true in the configuration, and reload" for name in disabled
    }


def _why_unrun(pool: Pool) -> str | None:
    name, observed = pool.name, pool.observed
    if not pool.is_wanted:
        return f"{name} is stopping"
    if pool.is_paused:
        return f"{name} is paused: ask again after consumerd resume {name}"
    if observed.is_lost:
        return f"{name} has failed: mend what consumerd status says of it, and ask again after consumerd restart {name}"
    slots = [observed.slots[number] for number in range(pool.wanted.workers)]
    if all(slot.state is SlotState.FINISHED for slot in slots):
        return f"{name} has finished, and runs nothing: ask again after consumerd restart {name}"
    return None


def _why_not_edited(pools: Pools, consumer: str) -> str:
    """Why the record of a parked task of this consumer is no matter of the store's; empty where it is one."""
    pool = next((pool for pool in pools if pool.consumer == consumer), None)
    if pool is None:
        return f"{consumer} is not run here, and only the master that runs it knows what its records are"
    if not pool.traits:
        return f"{consumer} is not loaded, and nobody knows what its records are: see consumerd status"
    if pool.traits.get("runs_by_hand"):
        return f"{consumer} is a schedule, whose times make the records of its runs"
    if pool.traits.get("durable_defer"):
        return "it is a row of a table of yours: change it there, and retry this task"
    if pool.traits.get("gives_again"):
        return "it is a row that a query of yours gives: change it there, and retry this task"
    return ""
