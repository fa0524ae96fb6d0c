"""`consumerd run-now TARGET`: a run of a schedule now, beside its times."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from consumerd import events
from consumerd.cli.verb import PoolNames, Target, Verb, command_of
from consumerd.errors import UsageError
from consumerd.verbs.parked.methods import unrun
from consumerd.wire.messages import MAKE_RUNS, StoreRequest

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls


class RunNow(Verb, frozen=True):
    """Run a schedule once now, beside its times. TARGET is a group or group/name; of a group, each schedule runs.

    A worker of any host takes it. Where the last run still goes on, and overlap is not allow, it follows that.
    """

    name, result, is_act, timeout_s = "run-now", PoolNames, True, 40.0
    target: Target

    async def answer(self, master: Controls, by: str) -> PoolNames:
        """The store helper makes the runs, and workers look for them at once."""
        pools = [pool for pool in master.configuration.changeable(self.target) if pool.traits.get("runs_by_hand")]
        if not pools:
            raise UsageError(f"{self.target} is no schedule, or is not loaded yet: see consumerd status")
        why = unrun(master.pools, master.configuration.disabled)
        if refusals := [why[pool.consumer] for pool in pools if pool.consumer in why]:
            raise UsageError(f"nothing is run: {refusals[0]}")
        names = tuple(pool.consumer for pool in pools)
        async for _ in master.helper.ask(StoreRequest(MAKE_RUNS, consumers=names)):
            pass
        for name in names:
            master.emit(events.run_asked_for(consumer=name))
        master.wake_workers(self.target)
        return PoolNames(list(names))

    def lines(self, answer: PoolNames) -> Iterator[str]:
        return (f"{name}: runs now, or after the run that goes on: see consumerd status" for name in answer.pools)


command = command_of(RunNow)
