"""Hearing: what zygotes and workers tell the master, and their ends, as history and facts. Runs in the master."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import clock, events
from consumerd.errors import WireError
from consumerd.events.facts import Fact, Level
from consumerd.master.pools import amending, suspecting
from consumerd.master.pools.acts import Means, note_not_forked, perform, tell_what_became
from consumerd.master.pools.flight import FlightRecord, end_with
from consumerd.master.pools.mailbox import Arrival, EndOfChannel, Origin
from consumerd.master.pools.processes import Away, ParkedCount, Worker
from consumerd.master.rules import history
from consumerd.master.rules.actions import KillZygote
from consumerd.master.rules.flow import MeasuredLag
from consumerd.master.rules.restart import Ended, has_settled, is_proven, is_refuted
from consumerd.master.rules.wait_status import described, worker_described
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.version import __version__
from consumerd.wire.messages import (
    Amended,
    Cleared,
    Exited,
    Forked,
    Hello,
    Lag,
    Loaded,
    LoadFailed,
    NotForked,
    ParkedNow,
    Ready,
    Reported,
)

Judge = Callable[[ConsumerName, Loaded], str | None]
"""Why a consumer that is loaded must not run, in one sentence, or None."""


@dataclass(frozen=True)
class Hearing:
    """Takes arrivals and ends, one at a time.

    judge: asked about each loaded consumer. refuse: told when it says no of one with which the master began; later, it
    is that edition alone which does not hold up.
    """

    means: Means
    judge: Judge
    refuse: Callable[[str], None]

    def hear(self, arrival: Arrival, now: float) -> None:
        """Note one arrival. Descriptors that come with it are closed unless they are kept."""
        if arrival.origin.slot is None:
            self._hear_zygote(arrival.origin, arrival, now)
        else:
            self._hear_worker(arrival.origin, arrival, now)

    # Zygotes

    def _hear_zygote(self, origin: Origin, arrival: Arrival, now: float) -> None:
        name = origin.pool
        if name not in self.means.pools.processes:
            return
        match arrival.content:
            case Hello() | Loaded() | LoadFailed() as news:
                self._hear_of_import(origin, news, now)
            case Forked() as forked:
                self._forked(origin, forked, arrival.fds, now)
            case NotForked(slot, generation, error):
                self._not_forked(origin, slot, generation, now, error=error)
            case Exited() as exited:
                self._exited(name, exited, now)
            case Amended(failed) if self.means.pools.amendments.get((name, origin.edition)):
                amending.end(self.means, name, origin.edition, failed, now)
            case EndOfChannel(broken):
                self._zygote_silent(origin, broken)
            case other:
                self._zygote_silent(origin, WireError(f"a zygote sent {type(other).__name__}"))

    def _hear_of_import(self, origin: Origin, news: Hello | Loaded | LoadFailed, now: float) -> None:
        """How far a zygote has come. What one that leaves goes on saying changes nothing any more."""
        state = self.means.pools[origin.pool].zygote(origin.edition).state
        if state is ZygoteState.LEAVING:
            return
        if state is not ZygoteState.LOADING:
            self._zygote_silent(origin, WireError(f"a zygote that has loaded sent {type(news).__name__}"))
            return
        match news:
            case Hello(version):
                self._check_version(origin, version, now)
            case Loaded():
                self._loaded(origin, news, now)
            case LoadFailed(reason, trace):
                self._fail(origin, reason, trace, now)

    def _check_version(self, origin: Origin, version: str, now: float) -> None:
        if version != __version__:
            reason = f"its processes are of version {version} and the master of {__version__}: restart the master"
            self._fail(origin, reason, "", now)
            perform(self.means, KillZygote(origin.pool, origin.edition), now)

    def _loaded(self, origin: Origin, loaded: Loaded, now: float) -> None:
        pools, name = self.means.pools, origin.pool
        refusal = self.judge(name, loaded)
        if refusal is not None and not pools.is_of_the_start(name, origin.edition):
            self._fail(origin, refusal, "", now)
            perform(self.means, KillZygote(name, origin.edition), now)
            return
        if refusal is not None:
            self.refuse(refusal)
        pools.note_loaded(name, origin.edition, loaded)
        was = pools[name]
        pools[name] = history.loaded(was, origin.edition, now)
        fact = events.consumer_loaded(consumer=str(name), edition=origin.edition, source=loaded.source)
        self.means.emit(fact)
        for remark in loaded.remarks:
            self.means.emit(events.consumer_remarked(consumer=str(name), remark=remark))
        tell_what_became(self.means, name, was)

    def _fail(self, origin: Origin, reason: str, trace: str, now: float) -> None:
        pools, was = self.means.pools, self.means.pools[origin.pool]
        pools[origin.pool] = history.load_failed(was, origin.edition, now, reason=reason, traceback=trace)
        tell_what_became(self.means, origin.pool, was)

    def prove(self, now: float) -> None:
        """Look whether the workers whose proof is waited for have given it."""
        pools = self.means.pools
        for name, number, worker in list(pools.unproven()):
            if worker.ready_at is None:
                continue
            was, loop_s, edition = pools[name], now - worker.ready_at, pools[name].slots[number].edition
            reading = worker.reading()
            if is_proven(loop_s, reading):
                pools[name] = history.proved(was, number, now)
            elif was.is_trial(edition) and is_refuted(loop_s, reading):
                last = "" if worker.failed is None else f", the last with {worker.failed.fields.get('error')}"
                reason = f"its first worker handled tasks, and each of them failed{last}: see consumerd parked list"
                pools[name] = history.rejected(was, edition, reason=reason, traceback="")
            tell_what_became(self.means, name, was)

    def _awaited(self, origin: Origin, slot: int, generation: int) -> Worker | None:
        """The worker that a zygote was asked for and has not named yet."""
        worker = self.means.pools.processes[origin.pool].workers.get(slot)
        is_awaited = worker is not None and worker.generation == generation and worker.pid is None
        return worker if is_awaited else None

    def _not_forked(self, origin: Origin, slot: int, generation: int, now: float, *, error: OSError | str) -> None:
        """The system refuses a worker that was asked for. One that is there all the same is let go of, and leaves."""
        worker, name = self._awaited(origin, slot, generation), origin.pool
        if worker is not None:
            self._let_go(name, slot, worker)
            note_not_forked(self.means, name, slot, origin.edition, now, error=error)

    def _forked(self, origin: Origin, forked: Forked, fds: tuple[int, ...], now: float) -> None:
        pools, name = self.means.pools, origin.pool
        worker = self._awaited(origin, forked.slot, forked.generation)
        zygote = pools.processes[name].zygotes.get(origin.edition)
        try:
            if worker is not None and not fds:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            is_its_own = (
                zygote is not None
                and len(fds) == 1
                and self.means.launcher.is_worker(forked.pid, fds[0], zygote=zygote.pid)
            )
        except OSError as error:
            _close_all(fds)
            self._not_forked(origin, forked.slot, forked.generation, now, error=error)
            return
        if worker is None or not is_its_own:
            _close_all(fds)
            if worker is not None:
                self._zygote_silent(origin, WireError("a zygote named a process that it has not forked"))
            return
        worker.pid, worker.pidfd = forked.pid, fds[0]
        pools[name] = history.forked(pools[name], forked.slot, forked.pid)
        fact = events.worker_forked(
            consumer=str(name), worker_id=forked.slot, pid=forked.pid, generation=forked.generation
        )
        self.means.emit(fact)

    def _exited(self, name: ConsumerName, exited: Exited, now: float) -> None:
        worker = self.means.pools.processes[name].workers.get(exited.slot)
        if worker is not None and worker.pid == exited.pid:
            self.worker_ended(name, exited.slot, exited.status, now)

    def _zygote_silent(self, origin: Origin, broken: WireError | None) -> None:
        """It has closed its channel: it ends, or must. Its end itself comes with its reaping."""
        zygote = self.means.pools.processes[origin.pool].zygotes.get(origin.edition)
        if zygote is not None and broken is not None:
            self.means.emit(events.zygote_broken(consumer=str(origin.pool), error=str(broken)))
            self.means.launcher.kill(zygote.pid, None)

    def zygote_ended(self, name: ConsumerName, edition: int, status: int | None, now: float) -> None:
        """A zygote is reaped, and its last words are heard. The workers that it named run on."""
        pools, processes = self.means.pools, self.means.pools.processes[name]
        was, zygote = pools[name], processes.zygotes.pop(edition)
        self.means.post.close(zygote.channel)
        last_words = self.means.relay.close(zygote.stderr_fd)
        end = described(status)
        how = end_with(end, last_words)
        pools[name] = history.zygote_ended(was, edition, now, jitter=self.means.jitter(), how=how, trace=last_words)
        amending.give_up(self.means, name, edition, now)
        for slot, worker in list(processes.workers.items()):
            if not pools[name].slots[slot].is_occupied:
                self._let_go(name, slot, worker)
        if pools[name].zygote(edition).failures:
            fact = events.zygote_ended(consumer=str(name), end=end, stderr=last_words)
            pools.note_error(name, events.zygote_ended.name, {"end": how})
            is_killed = was.state is PoolState.STOPPING  # one that loads
            self.means.emit(fact.at(Level.INFO) if is_killed else fact)
        tell_what_became(self.means, name, was)

    # Workers

    def _hear_worker(self, origin: Origin, arrival: Arrival, now: float) -> None:
        assert origin.slot is not None
        processes = self.means.pools.processes.get(origin.pool)
        worker = None if processes is None else processes.workers.get(origin.slot)
        if processes is None or worker is None or worker.generation != origin.generation:
            return
        match arrival.content:
            case Ready():
                self._ready(origin.pool, origin.slot, worker, now)
            case Reported() as reported:
                self._reported(origin.pool, origin.slot, worker, reported)
            case Cleared(task_id):
                suspecting.clear(self.means, origin.pool, task_id)
            case Lag(shards, later, complaints, blocked):
                lag = MeasuredLag(shards, now, later, complaints, blocked)
                processes.note_lag(lag, is_paused=self.means.pools.is_paused(origin.pool))
            case ParkedNow(waiting, dead):
                self.means.pools.processes[origin.pool].parked_now = ParkedCount(waiting, dead, now)
            case EndOfChannel(None):
                worker.silent_since = now  # it ends, and its reaping says how; else the watchdog sees that it does not
            case EndOfChannel(broken):
                self._worker_broken(origin.pool, origin.slot, worker, str(broken))
            case other:
                self._worker_broken(origin.pool, origin.slot, worker, f"a worker sent {type(other).__name__}")

    def _ready(self, name: ConsumerName, slot: int, worker: Worker, now: float) -> None:
        worker.ready_at = now
        self.means.pools[name] = history.ready(self.means.pools[name], slot, now)
        fact = events.worker_ready(consumer=str(name), worker_id=slot, pid=worker.pid, generation=worker.generation)
        self.means.emit(fact)

    def _reported(self, name: ConsumerName, slot: int, worker: Worker, reported: Reported) -> None:
        """The worker has logged it; here it is kept for `status`, and passed on to who follows."""
        fields: dict[str, object] = {"consumer": str(name), "worker_id": slot, **reported.fields}
        fact = Fact(reported.name, Level(reported.level), fields)
        self.means.tell(fact)
        event = events.event_of(fact)
        if event in (events.task_failed, events.consume_failed):
            worker.failed = reported
        if event is not None and event.away:
            why = reported.fields.get("error", reported.fields.get("advice", ""))
            worker.away.setdefault(event.away, Away(clock.wall(), str(why)))
        elif event is not None and event.back:
            worker.away.pop(event.back, None)
        elif fact.level is Level.ERROR and event is not events.task_died:  # those that died are counted
            self.means.pools.note_error(name, fact.name, {"worker_id": slot, **reported.fields})

    def _worker_broken(self, name: ConsumerName, slot: int, worker: Worker, error: str) -> None:
        self.means.emit(events.worker_broken(consumer=str(name), worker_id=slot, error=error))
        if worker.pid is not None:
            self.means.launcher.kill(worker.pid, worker.pidfd)

    def worker_ended(self, name: ConsumerName, slot: int, status: int | None, now: float) -> None:
        """A worker is reaped: hear its last words, add up its board, decide nothing; `plan` does."""
        pools, processes = self.means.pools, self.means.pools.processes[name]
        worker, was = processes.workers[slot], pools[name]
        self.means.post.drain(worker.seating.channel)
        for arrival in self.means.post.take_of(Origin(name, slot, worker.generation)):
            self._hear_worker(arrival.origin, arrival, now)
        reading = worker.reading()
        processes.bury(worker)
        suspect_deaths = suspecting.note_end(
            self.means, name, worker, was.slots[slot], status, worker_described(status)
        )
        record = self._record(name, slot, worker, status)
        loop_s = 0.0 if worker.ready_at is None else now - worker.ready_at
        is_condemned = record.condemned is not None
        has_proved = has_settled(reading) if is_condemned else is_proven(loop_s, reading)  # to hang proves nothing
        ended = Ended(
            status,
            has_proved,
            self.means.jitter(),
            how=record.how,
            trace=record.trace,
            suspect_deaths=suspect_deaths,
        )
        pools[name] = history.worker_ended(was, slot, ended, now, pools.wanted[name].policy)
        self._tell_ended(name, slot, record, was=was.slots[slot].state, now=now)
        tell_what_became(self.means, name, was)

    def _record(self, name: ConsumerName, slot: int, worker: Worker, status: int | None) -> FlightRecord:
        """What is to be kept of a dead worker, whose ends are closed with this."""
        reading, stacks = worker.reading(), worker.seating.board.stacks()
        is_told = worker.failed is not None and worker.failed.name == events.consume_failed.name
        last = worker.failed.fields if worker.failed is not None and is_told else {}
        return FlightRecord(
            clock.wall(),
            worker.pid,
            worker.generation,
            worker_described(status),
            reading,
            stacks=stacks,
            stderr=self._let_go(name, slot, worker),
            condemned=self.means.pools[name].slots[slot].condemned,
            error=str(last.get("error", "")),
            traceback=str(last.get("traceback", "")),
        )

    def _let_go(self, name: ConsumerName, slot: int, worker: Worker) -> str:
        """Close the master's ends of a worker, which leaves if it still lives; what it last wrote to stderr."""
        del self.means.pools.processes[name].workers[slot]
        self.means.post.close(worker.seating.channel)
        worker.close()
        return self.means.relay.close(worker.seating.stderr_fd)

    def _tell_ended(self, name: ConsumerName, slot: int, record: FlightRecord, *, was: SlotState, now: float) -> None:
        after = self.means.pools[name].slots[slot]
        is_asked = was is SlotState.DRAINING or after.state is SlotState.FINISHED
        if not is_asked:
            self.means.pools.note_end(name, slot, record.how if record.condemned is not None else record.end)
            self.means.pools.processes[name].last_ends[slot] = record
        fact = events.worker_ended(
            consumer=str(name),
            worker_id=slot,
            pid=record.pid,
            generation=record.generation,
            end=record.end,
            restarts_in_s=None if is_asked else round(max(0.0, after.due_at - now), 3),
            stderr=None if is_asked else record.stderr[-1000:],
        )
        self.means.emit(fact.at(Level.INFO) if is_asked else fact)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
