"""`consumerd scale TARGET N|auto`: pin the number of workers, or leave it to the configuration again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, UnsetType

from consumerd import events
from consumerd.cli.verb import Target, Verb, command_of
from consumerd.errors import UsageError
from consumerd.model.slots import MOST_WORKERS
from consumerd.verbs.status import shards_help
from consumerd.wire.method import parameter

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls
    from consumerd.master.pools.pool import Pool

AUTO = "auto"


class ScaledPool(msgspec.Struct, frozen=True):
    """A pool, how many workers are wanted now, and for how many of them its source has something to do, if fewer."""

    name: str
    workers: int
    helping: int | None


class Scaled(msgspec.Struct, frozen=True):
    """Every pool that the target means."""

    pools: list[ScaledPool]


def number(text: str) -> int | UnsetType:
    """The number of workers that somebody wrote. UsageError."""
    if text == AUTO:
        return UNSET
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise UsageError(f"the number of workers must be a whole number or {AUTO}, and is {text!r}")
    return int(text)


class Scale(Verb, frozen=True):
    """Run N workers, whatever the configuration says, until it says something else; auto: what it says, or as its range
    is filled by the lag.

    TARGET is a group or group/name. The number holds over reloads and restarts of the master.
    """

    name, result, is_act = "scale", Scaled, True
    target: Target
    workers: Annotated[int | UnsetType, parameter("Without it, the configuration's.", "N|auto", number)] = UNSET

    async def answer(self, master: Controls, by: str) -> Scaled:
        workers = None if self.workers is UNSET else self.workers
        if workers is not None and not 1 <= workers <= MOST_WORKERS:
            raise UsageError(f"the number of workers must be 1 to {MOST_WORKERS}, and is {workers}: pause stops a pool")
        pools = master.configuration.changeable(self.target)
        for pool in pools:
            if workers is not None and workers > 1 and _keeps_order_alone(pool):
                raise UsageError(
                    f'{pool.consumer} has ordered = "key": its one worker keeps the order of the rows that it claims'
                )
        master.configuration.pin(pools, workers)
        for pool in pools:
            wanted, is_pinned = pool.wanted.workers, workers is not None
            master.emit(events.pool_scaled(consumer=pool.consumer, workers=wanted, is_pinned=is_pinned))
        master.wake()
        return Scaled([ScaledPool(pool.consumer, pool.wanted.workers, master.helping(pool)) for pool in pools])

    def lines(self, answer: Scaled) -> Iterator[str]:
        for pool in answer.pools:
            workers = "1 worker" if pool.workers == 1 else f"{pool.workers} workers"
            yield f"{pool.name}: {workers}" + ("" if pool.helping is None else f", {shards_help(pool.helping)}")


def _keeps_order_alone(pool: Pool) -> bool:
    """Whether tasks of one key are in order only while the pool has one worker, since any would claim their rows."""
    return pool.newest_entry.settings.common.ordered is not None and pool.traits.get("claimed_by_any", False)


command = command_of(Scale)
