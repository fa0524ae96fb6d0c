"""The supervisor: one turn is signals → messages → reap → plan → perform → wait. Runs in the master, in one thread.

A turn never blocks. Whatever wakes it, the same turn runs; there is no other way for anything to change.
"""

from __future__ import annotations

import asyncio
import signal

from consumerd import clock
from consumerd.events.facts import Fact, Level
from consumerd.master.acts import Means, perform
from consumerd.master.hearing import Hearing, Judge
from consumerd.master.helper import StoreHelper
from consumerd.master.observed import Pool
from consumerd.master.plan import ALL_FAILED_S, GiveUp, next_deadline, plan
from consumerd.master.signals import Signals
from consumerd.model.slots import PoolState

LONGEST_WAIT_S = 3600.0
MOST_ROUNDS = 10
"""How often one turn may plan again: performing an action may make room for the next, not for a third and tenth."""


class Supervisor:
    """Runs the pools until they are gone. `wake` makes it take a turn now; from the loop's thread."""

    def __init__(self, means: Means, signals: Signals, helper: StoreHelper, judge: Judge, woken: asyncio.Event) -> None:
        self._means = means
        self._signals = signals
        self._helper = helper
        self._woken = woken
        self._hearing = Hearing(means, judge, self._refuse)
        self.exit_code = 0
        self.refusal: str | None = None
        self.stop_deadline: float | None = None
        self._has_told_that_nothing_loads = False

    async def run(self) -> int:
        """Until every pool is gone; the exit code of `consumerd run`."""
        while not self._is_over():
            self._woken.clear()
            self.turn(clock.monotonic())
            if not self._is_over():
                await self._wait()
        return self.exit_code

    def stop(self, reason: str) -> float:
        """Want every pool gone; by when. Asked again, nothing changes."""
        now = clock.monotonic()
        if self.stop_deadline is None:
            self.stop_deadline = self._means.pools.want_stop(now)
            timeout_s = round(self.stop_deadline - now, 3)
            self._means.emit(Fact("master_stopping", Level.INFO, {"reason": reason, "timeout_s": timeout_s}))
            self._woken.set()
        return self.stop_deadline

    def turn(self, now: float) -> None:
        """All that can be done now."""
        self._attend_signals()
        self._hear(now)
        self._reap(now)
        self._act(now)
        self._tell_if_nothing_loads()

    def _attend_signals(self) -> None:
        for number in self._signals.take():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop(number.name)
            elif number is signal.SIGHUP:
                self._means.emit(Fact("signal_ignored", Level.WARNING, {"signal": number.name}))

    def _hear(self, now: float) -> None:
        for arrival in self._means.post.take():
            self._hearing.hear(arrival, now)

    def _reap(self, now: float) -> None:
        """Children of our own, and workers adopted from a zygote that ended; its last words come first."""
        pools, launcher = self._means.pools, self._means.launcher
        while ended := launcher.ended():
            self._hear_zygotes(now)
            for pid in ended:
                owner = pools.owner_of(pid)
                is_worker = owner is not None and owner[1] is not None
                status = launcher.reap(pid, with_group=is_worker)
                if owner is None:
                    self._helper.note_end(pid)
                elif owner[1] is None:
                    self._hearing.zygote_ended(owner[0], status, now)
                    self._find_lost(now)
                else:
                    self._hearing.worker_ended(owner[0], owner[1], status, now)

    def _hear_zygotes(self, now: float) -> None:
        for processes in self._means.pools.processes.values():
            if processes.zygote is not None:
                self._means.post.drain(processes.zygote.channel)
        self._hear(now)

    def _find_lost(self, now: float) -> None:
        """Workers whom their zygote reaped, and ended before it could say so."""
        for name, processes in self._means.pools.processes.items():
            for slot, worker in list(processes.workers.items()):
                if (
                    processes.zygote is None
                    and worker.pid is not None
                    and not self._means.launcher.is_child(worker.pid)
                ):
                    self._hearing.worker_ended(name, slot, None, now)

    def _act(self, now: float) -> None:
        pools = self._means.pools
        for _ in range(MOST_ROUNDS):
            actions = plan(pools.wanted, pools.observed, now)
            if not actions:
                return
            for action in actions:
                if isinstance(action, GiveUp):
                    self._give_up()
                else:
                    perform(self._means, action, now)
        raise AssertionError("the plan does not come to rest")

    def _tell_if_nothing_loads(self) -> None:
        """Once, where every pool failed before it had a worker: the configuration or its surroundings are wrong."""
        pools = self._means.pools
        if self._has_told_that_nothing_loads or not all(_has_never_loaded(pools[name]) for name in pools):
            return
        self._has_told_that_nothing_loads = True
        advice = "correct it and run again: consumerd check CONFIG tells what is wrong"
        fields: dict[str, object] = {"pools": len(pools.entries), "advice": advice, "gives_up_in_s": ALL_FAILED_S}
        self._means.emit(Fact("nothing_loaded", Level.ERROR, fields))

    def _give_up(self) -> None:
        self._means.emit(Fact("master_gave_up", Level.ERROR, {"reason": "every pool has failed, for too long"}))
        self.exit_code = 1
        self.stop("every pool has failed")

    def _refuse(self, sentence: str) -> None:
        """A consumer that is loaded must not run so: the master leaves with exit code 2."""
        self.exit_code = 2
        self.refusal = sentence
        self._means.emit(Fact("run_refused", Level.ERROR, {"reason": sentence}))
        self.stop("refused")

    def _is_over(self) -> bool:
        pools = self._means.pools
        return all(pools[name].state is PoolState.GONE for name in pools)

    async def _wait(self) -> None:
        deadline = next_deadline(self._means.pools.observed)
        timeout_s = LONGEST_WAIT_S if deadline is None else deadline - clock.monotonic()
        if timeout_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return


def _has_never_loaded(pool: Pool) -> bool:
    return pool.state is PoolState.FAILED and not any(slot.generation for slot in pool.slots.values())
