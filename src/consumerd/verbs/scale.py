"""`consumerd scale TARGET N|auto`: pin the number of workers, or leave it to the configuration again."""

from __future__ import annotations

import os
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
WORKERS_A_CORE = 64
"""More of one pool are asked for by mistake, mostly, and take the machine's memory and processes."""


class ScaledPool(msgspec.Struct, frozen=True):
    """A pool, how many workers are wanted now, and for how many of them its source has something to do, if fewer."""

    name: str
    workers: int
    helping: int | None


class Scaled(msgspec.Struct, frozen=True):
    """Every pool that the target means."""

    pools: list[ScaledPool]


def usual_most() -> int:
    """So many workers of a pool are run without a question, on this machine."""
    return min(MOST_WORKERS, WORKERS_A_CORE * (os.cpu_count() or 1))


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
    yes: Annotated[bool, parameter("Run so many, though it is more than 64 for each core of the machine.")] = False

    def question(self) -> str:
        if self.yes or self.workers is UNSET or not usual_most() < self.workers <= MOST_WORKERS:
            return ""
        return f"{self.target}: {_many(self.workers)}. Run so many?"

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
            if workers is not None and workers > max(usual_most(), pool.wanted.workers) and not self.yes:
                raise UsageError(
                    f"{pool.consumer}: {_many(workers)}; nothing is changed: say it with --yes, or twice on the page"
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


def _many(workers: int) -> str:
    most = f"more than {usual_most()}, {WORKERS_A_CORE} for each core of this machine"
    return f"{workers} workers are {most}, and may use up its memory or its processes"


def _keeps_order_alone(pool: Pool) -> bool:
    """Whether tasks of one key are in order only while the pool has one worker, since any would claim their rows."""
    return pool.newest_entry.settings.common.ordered is not None and pool.traits.get("claimed_by_any", False)


command = command_of(Scale)
