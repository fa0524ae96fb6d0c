"""The watchdog: looks at the boards of running workers, flags and condemns those that are stuck. Runs in the master.

What is stuck is decided in `watch` and `flow`; a condemned worker is asked for its stacks and killed a moment later, by
`plan`. One that goes on meanwhile is let off.
"""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import events
from consumerd.master.pools.acts import Means
from consumerd.master.pools.processes import Worker
from consumerd.master.rules import history
from consumerd.master.rules.flow import Flow, flowed, one_replaced
from consumerd.master.rules.observed import Condemned
from consumerd.master.rules.watch import SCAN_BUSY_S, Limits, Sight, Stuck, judged, scan_every_s, seen
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import LOOPING, SlotState

LEAST_START_S = 30.0
"""A worker may take so long to come to its loop, however short its tasks are."""

ENDS_IN_S = 5.0
"""A worker whose channel has ended, and that has not ended by then, hears nothing any more, and is killed."""

DIAGNOSE_S = 1.0
"""How long a condemned worker has to write its stacks. A signal's handler in C does it in milliseconds."""

NONSENSE = "its board holds nonsense: something in it writes where it must not"


class Watchdog:
    """Looks when it is time: at busy pools once a second, at idle ones every five."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._pools = means.pools
        self._due: dict[ConsumerName, float] = {}

    def next_turn_at(self) -> float | None:
        """When to look next; None while no worker is in its loop."""
        times = [self._due_at(name) for name in self._pools if any(self._looping(name))]
        late = [at for name in self._pools for _, at in self._starting(name)]
        return min([*times, *late], default=None)

    def turn(self, now: float) -> None:
        """Look at every pool whose time has come."""
        for name in self._pools:
            for number, late_at in list(self._starting(name)):
                if now >= late_at:
                    self.condemn(name, number, self._sentence_of_start(name, number, now), now)
            if now >= self._due_at(name):
                for number, worker in list(self._looping(name)):
                    self._look(name, number, worker, now)
                self._look_at_flow(name, now)
                self._due[name] = now + self._pause_s(name)

    def condemn(self, name: ConsumerName, number: int, sentence: Condemned, now: float) -> None:
        """Have a worker replaced: asked for its stacks now, killed at `sentence.kill_at`."""
        worker = self._pools.processes[name].workers[number]
        assert worker.pid is not None
        self._sight(name, worker, now)
        self._means.launcher.ask_stacks(worker.pid, worker.pidfd)
        self._pools[name] = history.condemned(self._pools[name], number, sentence)
        self._due[name] = min(self._due.get(name, now), sentence.kill_at)

    def _due_at(self, name: ConsumerName) -> float:
        """When to look at a pool next: at once where nobody has looked at one of its workers yet."""
        unseen = any(worker.sight is None for worker in self._pools.processes[name].workers.values())
        is_new = unseen and any(worker.sight is None and worker.reading() for _, worker in self._looping(name))
        return 0.0 if is_new else self._due.get(name, 0.0)

    def _looping(self, name: ConsumerName) -> Iterator[tuple[int, Worker]]:
        processes = self._pools.processes[name]
        for number, slot in self._pools[name].slots.items():
            if slot.state in LOOPING and not slot.is_killed and slot.pid is not None:
                yield number, processes.workers[number]

    def _starting(self, name: ConsumerName) -> Iterator[tuple[int, float]]:
        """The workers that are not in their loops yet, and when each of them should have been."""
        for number, slot in self._pools[name].slots.items():
            if slot.state is SlotState.STARTING and slot.pid is not None and slot.condemned is None:
                yield number, slot.since + max(LEAST_START_S, self._limits(name, slot.edition).task_timeout_s)

    def _pause_s(self, name: ConsumerName) -> float:
        return scan_every_s([worker.sight for _, worker in self._looping(name) if worker.sight is not None])

    # One worker

    def _look(self, name: ConsumerName, number: int, worker: Worker, now: float) -> None:
        slot = self._pools[name].slots[number]
        if worker.silent_since is not None and now - worker.silent_since > ENDS_IN_S:
            self._end_silent(name, number, worker)
        if worker.idles_on(now) and slot.state is SlotState.RUNNING and slot.condemned is None:
            return
        sight = self._sight(name, worker, now)
        if sight is None:
            if slot.condemned is None:
                self.condemn(name, number, Condemned(NONSENSE, now, now + DIAGNOSE_S), now)
            return
        is_condemned = slot.condemned is not None
        if slot.condemned is not None and not slot.condemned.is_let_off(sight.standing.since_s):
            return
        stuck = worker.stuck = None if sight.is_idling else judged(sight, self._limits(name, slot.edition))
        if is_condemned or (stuck is None and slot.state is SlotState.STALLED):
            self._goes_on(name, number, worker, now)
        if stuck is None:
            return
        if self._pools[name].slots[number].state is SlotState.RUNNING:
            self._stalls(name, number, worker, stuck, now)
        if stuck.is_overdue:
            self.condemn(name, number, self._sentence(name, slot.edition, stuck, now), now)

    def _end_silent(self, name: ConsumerName, number: int, worker: Worker) -> None:
        """Something in it has closed what it hears the master by."""
        assert worker.pid is not None
        error = "it has closed its channel to the master, and lives on"
        self._means.emit(events.worker_broken(consumer=str(name), worker_id=number, pid=worker.pid, error=error))
        self._means.launcher.kill(worker.pid, worker.pidfd)
        worker.silent_since = None

    def _sight(self, name: ConsumerName, worker: Worker, now: float) -> Sight | None:
        """Look at its board; at its process only where the board stands still. None where the board holds nonsense."""
        assert worker.pid is not None
        reading = worker.reading()
        if reading is None:
            return None
        planned_s = SCAN_BUSY_S if worker.sight is None else max(0.0, self._due.get(name, now) - worker.sight.seen_at)
        sight = seen(worker.sight, reading, now, is_stopped=False, planned_s=planned_s)
        if sight.is_still and self._means.launcher.is_stopped(worker.pid):
            sight = seen(worker.sight, reading, now, is_stopped=True, planned_s=planned_s)
        worker.sight = sight
        return sight

    def _limits(self, name: ConsumerName, edition: int) -> Limits:
        common = self._pools.entry_of(name, edition).settings.common
        return Limits(common.task_timeout, self._pools.traits(name).get("gives_away", False))

    def _sentence(self, name: ConsumerName, edition: int, stuck: Stuck, now: float) -> Condemned:
        timeout_s = self._limits(name, edition).task_timeout_s
        reason = f"stuck: it {stuck.told(now)}, and task_timeout is {timeout_s:g} s"
        return Condemned(reason, now, now + DIAGNOSE_S, stuck.shard, stuck.offset)

    def _sentence_of_start(self, name: ConsumerName, number: int, now: float) -> Condemned:
        start_s = now - self._pools[name].slots[number].since
        reason = f"stuck: it has not come to its loop for {start_s:.0f} s: see what its pre_consume waits for"
        return Condemned(reason, now, now + DIAGNOSE_S)

    def _stalls(self, name: ConsumerName, number: int, worker: Worker, stuck: Stuck, now: float) -> None:
        self._pools[name] = history.stalled(self._pools[name], number, now)
        fact = events.task_stalled(
            consumer=str(name),
            worker_id=number,
            pid=worker.pid,
            why=stuck.why.value,
            shard=stuck.shard,
            offset=stuck.offset,
            for_s=round(now - stuck.since_s, 1),
        )
        self._means.emit(fact)

    def _goes_on(self, name: ConsumerName, number: int, worker: Worker, now: float) -> None:
        was = self._pools[name].slots[number]
        self._pools[name] = history.went_on(self._pools[name], number, now)
        if was.state is not SlotState.STALLED:
            return  # it was condemned for another reason, cancelled perhaps
        stalled_s = round(now - was.since, 1)
        fact = events.task_went_on(consumer=str(name), worker_id=number, pid=worker.pid, stalled_s=stalled_s)
        self._means.emit(fact)

    # The pool

    def _look_at_flow(self, name: ConsumerName, now: float) -> None:
        """Whether its source gives what waits in it."""
        processes = self._pools.processes[name]
        before = processes.flow
        sights = [worker.sight for _, worker in self._looping(name) if worker.sight is not None]
        if not sights:
            return
        readings = [sight.reading for sight in sights]
        buried = processes.buried
        done = buried.handled + buried.failed + buried.parked
        done += sum(reading.handled + reading.failed + reading.parked for reading in readings)
        is_at_work = self._pools.is_paused(name) or any(reading.busy or reading.flags for reading in readings)
        processes.flow = flowed(before, processes.lag, done=done, is_at_work=is_at_work, now=now)
        self._tell_of_shards(name, before, processes.flow, now)
        if processes.flow.must_replace(now):
            self._replace_one(name, processes.flow, now)

    def _tell_of_shards(self, name: ConsumerName, before: Flow | None, after: Flow, now: float) -> None:
        processes = self._pools.processes[name]
        was, now_stalled = processes.stalled_shards, frozenset(after.stalled(now))
        processes.stalled_shards = now_stalled
        if now_stalled - was:
            self._means.emit(events.shard_stalled(consumer=str(name), shards=sorted(now_stalled)))
        elif was and not now_stalled:
            self._means.emit(events.shard_went_on(consumer=str(name), shards=sorted(was)))

    def _replace_one(self, name: ConsumerName, flow: Flow, now: float) -> None:
        """The worker that had last a task of a stalled shard; where nobody had, one after the other."""
        stalled = flow.stalled(now)
        workers = list(self._looping(name))
        having = [
            pair
            for pair in workers
            if pair[1].sight is not None and any(lane.shard in stalled for lane in pair[1].sight.reading.lanes)
        ]
        number, _ = having[0] if having else workers[flow.replaced % len(workers)]
        for_s = now - min(stalled.values())
        reason = f"its source is silent: tasks wait in shard {min(stalled)}, and no worker got one for {for_s:.0f} s"
        self._pools.processes[name].flow = one_replaced(flow, now)
        self.condemn(name, number, Condemned(reason, now, now + DIAGNOSE_S, is_final=True), now)
