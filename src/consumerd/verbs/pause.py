"""`consumerd pause TARGET` and `consumerd resume TARGET`: fetch nothing more for now, and fetch again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from consumerd import events
from consumerd.cli.verb import PoolNames, Target, Verb, command_of

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls


class Pause(Verb, frozen=True):
    """Let the workers fetch nothing more; what they have in hand they finish. TARGET is a group or group/name.

    A paused pool keeps its workers, and its place in a consumer group, until consumerd resume; over restarts of the
    master too.
    """

    name, result, is_act = "pause", PoolNames, True
    target: Target

    async def answer(self, master: Controls, by: str) -> PoolNames:
        pools = master.configuration.changeable(self.target)
        master.configuration.pause(pools, by)
        for pool in pools:
            master.emit(events.pool_paused(consumer=pool.consumer))
        return PoolNames([pool.consumer for pool in pools])

    def lines(self, answer: PoolNames) -> Iterator[str]:
        return (f"{name}: paused; what its workers have in hand, they finish" for name in answer.pools)


class Resume(Verb, frozen=True):
    """Let the workers of a paused pool fetch again. TARGET is a group or group/name."""

    name, result, is_act = "resume", PoolNames, True
    target: Target

    async def answer(self, master: Controls, by: str) -> PoolNames:
        pools = master.configuration.changeable(self.target)
        master.configuration.pause(pools, None)
        for pool in pools:
            master.emit(events.pool_resumed(consumer=pool.consumer))
        return PoolNames([pool.consumer for pool in pools])

    def lines(self, answer: PoolNames) -> Iterator[str]:
        return (f"{name}: resumed" for name in answer.pools)


command, resume = command_of(Pause), command_of(Resume)
