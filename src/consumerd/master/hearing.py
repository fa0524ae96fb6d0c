"""Hearing: what zygotes and workers tell the master, and their ends, as history and facts. Runs in the master."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import clock
from consumerd.errors import WireError
from consumerd.events.facts import Fact, Level
from consumerd.master import history
from consumerd.master.acts import Means, perform
from consumerd.master.plan import KillZygote
from consumerd.master.pools import Away, MeasuredLag, Worker
from consumerd.master.post import Arrival, EndOfChannel, Origin
from consumerd.master.restart import Ended, is_proven
from consumerd.model.exits import WorkerExit
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.version import __version__
from consumerd.wire.messages import Exited, Forked, Hello, Lag, Loaded, LoadFailed, Ready, Reported

Judge = Callable[[ConsumerName, Loaded], str | None]
"""Why a consumer that is loaded must not run, in one sentence, or None."""

AWAY = {"store_away": "store", "source_away": "source"}
BACK = {"store_back": "store", "source_back": "source"}


@dataclass(frozen=True)
class Hearing:
    """Takes arrivals and ends, one at a time. judge: asked about each loaded consumer; refuse: told when it says no."""

    means: Means
    judge: Judge
    refuse: Callable[[str], None]

    def hear(self, arrival: Arrival, now: float) -> None:
        """Note one arrival. Descriptors that come with it are closed unless they are kept."""
        if arrival.origin.slot is None:
            self._hear_zygote(arrival, now)
        else:
            self._hear_worker(arrival.origin, arrival, now)

    # Zygotes

    def _hear_zygote(self, arrival: Arrival, now: float) -> None:
        name = arrival.origin.pool
        match arrival.content:
            case Hello() | Loaded() | LoadFailed() as news:
                self._hear_of_import(name, news, now)
            case Forked() as forked:
                self._forked(name, forked, arrival.fds)
            case Exited() as exited:
                self._exited(name, exited, now)
            case EndOfChannel(broken):
                self._zygote_silent(name, broken)
            case other:
                self._zygote_silent(name, WireError(f"a zygote sent {type(other).__name__}"))

    def _hear_of_import(self, name: ConsumerName, news: Hello | Loaded | LoadFailed, now: float) -> None:
        """How far a zygote has come. What one that leaves goes on saying changes nothing any more."""
        state = self.means.pools[name].zygote.state
        if state is ZygoteState.LEAVING:
            return
        if state is not ZygoteState.LOADING:
            self._zygote_silent(name, WireError(f"a zygote that has loaded sent {type(news).__name__}"))
            return
        match news:
            case Hello(version):
                self._check_version(name, version, now)
            case Loaded():
                self._loaded(name, news, now)
            case LoadFailed(reason, trace):
                self._fail(name, reason, trace, now)

    def _check_version(self, name: ConsumerName, version: str, now: float) -> None:
        if version != __version__:
            reason = f"its processes are of version {version} and the master of {__version__}: restart the master"
            self._fail(name, reason, "", now)
            perform(self.means, KillZygote(name), now)

    def _loaded(self, name: ConsumerName, loaded: Loaded, now: float) -> None:
        pools = self.means.pools
        pools.processes[name].source = loaded.source
        refusal = self.judge(name, loaded)
        if refusal is not None:
            self.refuse(refusal)
        pools[name] = history.loaded(pools[name], now)
        fields: dict[str, object] = {"consumer": str(name), "source": loaded.source}
        self.means.emit(Fact("consumer_loaded", Level.INFO, fields))
        for remark in loaded.remarks:
            self.means.emit(Fact("consumer_remarked", Level.WARNING, {"consumer": str(name), "remark": remark}))

    def _fail(self, name: ConsumerName, reason: str, trace: str, now: float) -> None:
        pools = self.means.pools
        pools[name] = history.load_failed(pools[name], now, reason=reason, traceback=trace)
        self._tell_failed(name)

    def _tell_failed(self, name: ConsumerName) -> None:
        pool = self.means.pools[name]
        fields: dict[str, object] = {"consumer": str(name), "reason": pool.reason, "traceback": pool.traceback}
        self.means.pools.note_error(name, "pool_failed", {"reason": pool.reason})
        self.means.emit(Fact("pool_failed", Level.ERROR, fields))

    def _forked(self, name: ConsumerName, forked: Forked, fds: tuple[int, ...]) -> None:
        pools = self.means.pools
        worker = pools.processes[name].workers.get(forked.slot)
        if worker is None or worker.generation != forked.generation or len(fds) != 1:
            for fd in fds:
                os.close(fd)
            return
        worker.pid, worker.pidfd = forked.pid, fds[0]
        pools[name] = history.forked(pools[name], forked.slot, forked.pid)
        fields: dict[str, object] = {"consumer": str(name), "worker_id": forked.slot, "pid": forked.pid}
        self.means.emit(Fact("worker_forked", Level.DEBUG, {**fields, "generation": forked.generation}))

    def _exited(self, name: ConsumerName, exited: Exited, now: float) -> None:
        worker = self.means.pools.processes[name].workers.get(exited.slot)
        if worker is not None and worker.pid == exited.pid:
            self.worker_ended(name, exited.slot, exited.status, now)

    def _zygote_silent(self, name: ConsumerName, broken: WireError | None) -> None:
        """It has closed its channel: it ends, or must. Its end itself comes with its reaping."""
        zygote = self.means.pools.processes[name].zygote
        if zygote is not None and broken is not None:
            self.means.emit(Fact("zygote_broken", Level.ERROR, {"consumer": str(name), "error": str(broken)}))
            self.means.launcher.kill(zygote.pid, None)

    def zygote_ended(self, name: ConsumerName, status: int | None, now: float) -> None:
        """A zygote is reaped, and its last words are heard. The workers that it named run on."""
        pools, processes = self.means.pools, self.means.pools.processes[name]
        assert processes.zygote is not None
        was = pools[name]
        self.means.post.close(processes.zygote.channel)
        last_words = self.means.relay.close(processes.zygote.stderr_fd)
        processes.zygote = None
        pools[name] = history.zygote_ended(was, now, jitter=self.means.jitter())
        for slot, worker in list(processes.workers.items()):
            if not pools[name].slots[slot].is_occupied:
                self._let_go(name, slot, worker)
        if pools[name].zygote.failures:
            fields: dict[str, object] = {"consumer": str(name), "end": describe_end(status), "stderr": last_words}
            self.means.emit(Fact("zygote_ended", Level.ERROR, fields))
        if pools[name].state is PoolState.FAILED and was.state is not PoolState.FAILED:
            self._tell_failed(name)

    # Workers

    def _hear_worker(self, origin: Origin, arrival: Arrival, now: float) -> None:
        assert origin.slot is not None
        worker = self.means.pools.processes[origin.pool].workers.get(origin.slot)
        if worker is None or worker.generation != origin.generation:
            return
        match arrival.content:
            case Ready():
                self._ready(origin.pool, origin.slot, worker, now)
            case Reported() as reported:
                self._reported(origin.pool, origin.slot, worker, reported)
            case Lag(shards):
                self.means.pools.processes[origin.pool].lag = MeasuredLag(shards, now)
            case EndOfChannel(None):
                pass  # it ends, and its reaping says how
            case EndOfChannel(broken):
                self._worker_broken(origin.pool, origin.slot, worker, str(broken))
            case other:
                self._worker_broken(origin.pool, origin.slot, worker, f"a worker sent {type(other).__name__}")

    def _ready(self, name: ConsumerName, slot: int, worker: Worker, now: float) -> None:
        worker.ready_at = now
        self.means.pools[name] = history.ready(self.means.pools[name], slot, now)
        fields: dict[str, object] = {"consumer": str(name), "worker_id": slot, "pid": worker.pid}
        self.means.emit(Fact("worker_seen_ready", Level.DEBUG, {**fields, "generation": worker.generation}))

    def _reported(self, name: ConsumerName, slot: int, worker: Worker, reported: Reported) -> None:
        """The worker has logged it; here it is kept for `status`."""
        if reported.name in AWAY:
            worker.away.setdefault(AWAY[reported.name], Away(clock.wall(), str(reported.fields.get("error", ""))))
        elif reported.name in BACK:
            worker.away.pop(BACK[reported.name], None)
        if reported.level == Level.ERROR or reported.name in AWAY:
            self.means.pools.note_error(name, reported.name, {"worker_id": slot, **reported.fields})

    def _worker_broken(self, name: ConsumerName, slot: int, worker: Worker, error: str) -> None:
        self.means.emit(Fact("worker_broken", Level.ERROR, {"consumer": str(name), "worker_id": slot, "error": error}))
        if worker.pid is not None:
            self.means.launcher.kill(worker.pid, worker.pidfd)

    def worker_ended(self, name: ConsumerName, slot: int, status: int | None, now: float) -> None:
        """A worker is reaped: hear its last words, add up its board, decide nothing; `plan` does."""
        pools, processes = self.means.pools, self.means.pools.processes[name]
        worker, was = processes.workers[slot], pools[name].slots[slot]
        self.means.post.drain(worker.seating.channel)
        for arrival in self.means.post.take_of(Origin(name, slot, worker.generation)):
            self._hear_worker(arrival.origin, arrival, now)
        reading = worker.reading()
        if reading is not None:
            processes.buried.add(reading, is_alive=False)
        loop_s = 0.0 if worker.ready_at is None else now - worker.ready_at
        ended = Ended(status, is_proven(loop_s, reading), self.means.jitter())
        last_words = self._let_go(name, slot, worker)
        restarts_finished = pools.wanted.pools[name].restarts_finished
        pools[name] = history.worker_ended(pools[name], slot, ended, now, restarts_finished=restarts_finished)
        self._tell_ended(name, slot, worker, status=status, was=was.state, last_words=last_words, now=now)

    def _let_go(self, name: ConsumerName, slot: int, worker: Worker) -> str:
        """Close the master's ends of a worker, which leaves if it still lives; what it last wrote to stderr."""
        del self.means.pools.processes[name].workers[slot]
        self.means.post.close(worker.seating.channel)
        worker.close()
        return self.means.relay.close(worker.seating.stderr_fd)

    def _tell_ended(
        self,
        name: ConsumerName,
        slot: int,
        worker: Worker,
        *,
        status: int | None,
        was: SlotState,
        last_words: str,
        now: float,
    ) -> None:
        after = self.means.pools[name].slots[slot]
        fields: dict[str, object] = {
            "consumer": str(name),
            "worker_id": slot,
            "pid": worker.pid,
            "generation": worker.generation,
            "end": describe_end(status),
        }
        is_asked = was is SlotState.DRAINING or after.state is SlotState.FINISHED
        if not is_asked:
            fields |= {"restarts_in_s": round(max(0.0, after.due_at - now), 3), "stderr": last_words[-1000:]}
            self.means.pools.note_end(name, slot, describe_end(status))
        self.means.emit(Fact("worker_ended", Level.INFO if is_asked else Level.WARNING, fields))


def describe_end(status: int | None) -> str:
    """A wait status in words: `SIGKILL`, `finished`, `exit 3`."""
    code = history.exit_code(status)
    if code is None:
        return "unknown"
    names = {int(number): number.name for number in signal.Signals}
    if code < 0:
        return names.get(-code, f"signal {-code}")
    return {int(known): known.name.lower() for known in WorkerExit}.get(code, f"exit {code}")
