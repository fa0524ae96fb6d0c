"""`consumerd restart TARGET`: new processes, slot by slot, of the code as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from consumerd import events
from consumerd.cli.verb import PoolNames, Target, Verb, command_of

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls


class Restart(Verb, frozen=True):
    """Restart the workers slot by slot, with the code as it is now. TARGET is a group or group/name.

    The code is imported before anybody leaves. The highest slot goes first; if it does not hold up, it goes back to
    what ran before, and nobody else is touched. See consumerd status.
    """

    name, result, is_act = "restart", PoolNames, True
    target: Target

    async def answer(self, master: Controls, by: str) -> PoolNames:
        """A new edition with the same entry."""
        pools = master.configuration.changeable(self.target)
        for pool in pools:
            master.configuration.renew(pool)
            master.emit(events.pool_restarting(consumer=pool.consumer))
        master.wake()
        return PoolNames([pool.consumer for pool in pools])

    def lines(self, answer: PoolNames) -> Iterator[str]:
        return (f"{name}: restarting" for name in answer.pools)

    def awaited(self, answer: PoolNames) -> list[str]:
        return answer.pools


command = command_of(Restart)
