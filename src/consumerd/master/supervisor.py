"""The supervisor: a turn is messages → reap → look → plan → perform → tell → wait. Runs in the master.

A turn never blocks. Whatever wakes it, the same turn runs. Beside it only what operators ask for acts at once: it
changes what is wanted; `cancel` condemns a worker, `pause` and a wake are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from consumerd import clock, events
from consumerd.master.duties import Duty
from consumerd.master.duties.service import Service
from consumerd.master.pools import stopping, suspects
from consumerd.master.pools.performing import perform
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.tools import Tools
from consumerd.master.pools.worker_messages import hear_worker, worker_ended
from consumerd.master.pools.zygote_messages import hear_zygote, zygote_ended
from consumerd.master.rules.plan import LOST_FOR_S, plan
from consumerd.model.slots import PoolState

LONGEST_WAIT_S = 3600.0
MOST_ROUNDS = 10
"""How often one turn may plan again: performing an action may make room for the next, not for a third and tenth."""


class Supervisor:
    """Runs the pools until they are gone. Set `woken`, in the loop's thread, and it takes a turn."""

    def __init__(
        self,
        pools: Pools,
        tools: Tools,
        woken: asyncio.Event,
        *,
        duties: Sequence[Duty],
        service: Service,
        note_end: Callable[[int, int | None], None],
    ) -> None:
        """note_end: is told the pid and wait status of children that are of no pool."""
        self._pools = pools
        self._tools = tools
        self._woken = woken
        self._duties = duties
        self._service = service
        self._note_end = note_end
        self.exit_code = 0
        self.refusal: str | None = None
        self.stop_deadline: float | None = None
        self._stop_began = 0.0
        self._waiting = stopping.Waiting()
        self._has_told_that_nothing_loads = False
        self._planned_at: float | None = None
        self._look_at: list[float | None] = []

    async def run(self) -> int:
        """Until every pool is gone; the exit code of `consumerd run`."""
        while not self._is_over():
            self._woken.clear()
            self.turn(clock.monotonic())
            if not self._is_over():
                await self._wait()
        return self.exit_code

    def stop(self, reason: str, now: float | None = None) -> float:
        """Want every pool gone; by when. Asked again, nothing changes."""
        now = clock.monotonic() if now is None else now
        if self.stop_deadline is None:
            self.stop_deadline, self._stop_began = self._pools.want_stop(now), now
            self._waiting.begin(now)
            timeout_s = round(self.stop_deadline - now, 3)
            self._tools.emit(events.master_stopping(reason=reason, timeout_s=timeout_s))
            self._service.stopping()
            self._woken.set()
        return self.stop_deadline

    def interrupt(self, now: float) -> None:
        """SIGINT, as Ctrl-C sends it: stop; where that has begun, end soon."""
        if self.stop_deadline is None:
            self.stop("SIGINT", now)
            return
        deadline = now + stopping.HURRIED_S
        if now - self._stop_began < stopping.SAME_PRESS_S or deadline >= self.stop_deadline:
            return
        self.stop_deadline = deadline
        self._tools.emit(events.stop_hurried(reason="SIGINT", timeout_s=stopping.HURRIED_S))
        for pool in self._pools:
            stopping.hurry(pool, deadline)
        self._woken.set()

    def turn(self, now: float) -> None:
        """All that can be done now."""
        self._hear(now)
        self._reap(now)
        self._look_at = [duty(pool, now) for pool in self._pools for duty in self._duties]
        self._act(now)
        for pool in self._pools:
            suspects.tell(pool)
        self._look_at.append(self._service.turn(now))
        self._tell_waiting(now)
        self._tell_if_nothing_loads()

    def _hear(self, now: float) -> None:
        for arrival in self._tools.mailbox.take():
            pool = self._pools.get(arrival.origin.pool)
            if pool is not None:
                (hear_zygote if arrival.origin.slot is None else hear_worker)(pool, arrival, now)
                if pool.refusal is not None:
                    self._refuse(pool.refusal)
                    pool.refusal = None

    def _reap(self, now: float) -> None:
        """Children of our own, and workers adopted from a zygote that ended; its last words come first."""
        launcher = self._tools.launcher
        while (pid := launcher.ended()) is not None:
            self._hear_zygotes(now)
            owner = self._pools.owner_of(pid)
            status = launcher.reap(pid, with_group=owner is not None)
            if owner is None:
                self._note_end(pid, status)
            elif owner.slot is None:
                zygote_ended(self._pools[owner.pool], owner.edition, status, now)
                self._find_lost(self._pools[owner.pool], now)
            else:
                worker_ended(self._pools[owner.pool], owner.slot, status, now)

    def _hear_zygotes(self, now: float) -> None:
        for pool in self._pools:
            for zygote in pool.zygotes.values():
                self._tools.mailbox.drain(zygote.channel)
        self._hear(now)

    def _find_lost(self, pool: Pool, now: float) -> None:
        """Workers whom their zygote reaped, and ended before it could say so."""
        for slot, worker in list(pool.workers.items()):
            is_orphan = pool.observed.slots[slot].edition not in pool.zygotes
            if is_orphan and worker.pid is not None and not self._tools.launcher.is_child(worker.pid):
                worker_ended(pool, slot, None, now)

    def _act(self, now: float) -> None:
        for _ in range(MOST_ROUNDS):
            planned = plan(self._pools.wanted, self._pools.observed, now)
            self._planned_at = planned.next_at
            if planned.gives_up:
                self.give_up("every pool, or an essential one, has failed for too long")
            if not planned.actions:
                return
            for name, action in planned.actions:
                perform(self._pools[name], action, now)
            self._pools.forget_gone(now)
        raise AssertionError("the plan does not come to rest")

    def _tell_waiting(self, now: float) -> None:
        if self.stop_deadline is None or self._is_over():
            return
        fact = self._waiting.turn(self._pools, self.stop_deadline, now)
        if fact is not None:
            self._tools.emit(fact)
        self._look_at.append(self._waiting.next_at)

    def _tell_if_nothing_loads(self) -> None:
        """Once, where every pool failed before it had a worker: the configuration or its surroundings are wrong."""
        are_lost = len(self._pools) > 0 and all(map(_has_never_loaded, self._pools))
        if self._has_told_that_nothing_loads or not are_lost:
            return
        self._has_told_that_nothing_loads = True
        advice = "correct it and run again: consumerd check CONFIG tells what is wrong"
        self._tools.emit(events.nothing_loaded(pools=len(self._pools), advice=advice, gives_up_in_s=LOST_FOR_S))

    def give_up(self, reason: str) -> None:
        """Stop, with exit code 1, unless a stop was asked for before."""
        if self.stop_deadline is not None:
            return
        self._tools.emit(events.master_gave_up(reason=reason))
        self.exit_code = 1
        self.stop(reason)

    def _refuse(self, sentence: str) -> None:
        """A consumer that is loaded must not run so: the master leaves with exit code 2."""
        self.exit_code = 2
        self.refusal = sentence
        self._tools.emit(events.run_refused(reason=sentence))
        self.stop("refused")

    def _is_over(self) -> bool:
        return self.stop_deadline is not None and not len(self._pools)

    async def _wait(self) -> None:
        known = [at for at in (self._planned_at, *self._look_at) if at is not None]
        timeout_s = min(known) - clock.monotonic() if known else LONGEST_WAIT_S
        if timeout_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return


def _has_never_loaded(pool: Pool) -> bool:
    observed = pool.observed
    return observed.state is PoolState.FAILED and not any(slot.generation for slot in observed.slots.values())
