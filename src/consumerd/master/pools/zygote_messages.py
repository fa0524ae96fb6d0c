"""What a zygote says and how it ends, as history and events of its pool. Runs in the master."""

from __future__ import annotations

import errno
import os

from consumerd import events
from consumerd.events.facts import Level
from consumerd.master.pools import live_keys
from consumerd.master.pools.mailbox import Arrival, EndOfChannel
from consumerd.master.pools.performing import kill_zygote, note_not_forked
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.pools.worker_messages import become_ready, let_go, worker_ended
from consumerd.master.rules import history
from consumerd.model.exits import described, end_with
from consumerd.model.slots import ZygoteState
from consumerd.version import __version__
from consumerd.wire.messages import Amended, Exited, Forked, Hello, Loaded, LoadFailed, NotForked


def hear_zygote(pool: Pool, arrival: Arrival, now: float) -> None:
    """Note what a zygote says. Descriptors that come with it are closed unless they are kept."""
    edition = arrival.origin.edition
    match arrival.content:
        case Hello() | Loaded() | LoadFailed() as news:
            _hear_of_import(pool, edition, news, now)
        case Forked() as forked:
            _forked(pool, edition, forked, arrival.fds, now)
        case NotForked(slot, generation, error):
            _not_forked(pool, edition, _awaited(pool, slot, generation), slot, now, error=error)
        case Exited(slot, pid, status):
            worker = pool.workers.get(slot)
            if worker is not None and worker.pid == pid:
                worker_ended(pool, slot, status, now)
        case Amended(failed) if pool.amendments.get(edition):
            live_keys.zygote_answered(pool, edition, failed, now)
        case EndOfChannel(None):
            pass  # it ends, or must: its end itself comes with its reaping
        case EndOfChannel(broken):
            _break(pool, edition, str(broken))
        case other:
            _break(pool, edition, f"a zygote sent {type(other).__name__}")


def zygote_ended(pool: Pool, edition: int, status: int | None, now: float) -> None:
    """A zygote is reaped, and its last words are heard. The workers that it named run on."""
    tools, was, zygote = pool.tools, pool.observed, pool.zygotes.pop(edition)
    tools.mailbox.close(zygote.channel)
    last_words = tools.stderr.close(zygote.stderr_fd)
    end = described(status)
    how = end_with(end, last_words)
    after = history.zygote_ended(was, edition, now, jitter=tools.jitter(), how=how, trace=last_words)
    fact = events.zygote_ended(consumer=pool.consumer, end=end, stderr=last_words)
    if after.zygote(edition).failures:
        pool.note_error(events.zygote_ended.name, end=how)
        pool.become(after, fact)
    elif was.zygote(edition).is_dropped:
        pool.become(after, fact.at(Level.INFO))
    else:
        pool.become(after)
    live_keys.zygote_ended(pool, edition, now)
    for slot, worker in list(pool.workers.items()):
        if not pool.observed.slots[slot].is_occupied:
            let_go(pool, slot, worker)


def _hear_of_import(pool: Pool, edition: int, news: Hello | Loaded | LoadFailed, now: float) -> None:
    """How far a zygote has come. What one that leaves goes on saying changes nothing any more."""
    state = pool.observed.zygote(edition).state
    if state is ZygoteState.LEAVING:
        return
    if state is not ZygoteState.LOADING:
        _break(pool, edition, f"a zygote that has loaded sent {type(news).__name__}")
        return
    match news:
        case Hello(version) if version != __version__:
            reason = f"its processes are of version {version} and the master of {__version__}: restart the master"
            _refuse(pool, edition, reason, now)
        case Loaded():
            _loaded(pool, edition, news, now)
        case LoadFailed(reason, trace):
            _load_failed(pool, edition, now, reason=reason, traceback=trace)


def _load_failed(pool: Pool, edition: int, now: float, *, reason: str, traceback: str = "") -> None:
    is_newest = edition == pool.wanted.edition
    failed = history.load_failed(pool.observed, edition, now, reason=reason, traceback=traceback, is_newest=is_newest)
    pool.become(failed)


def _refuse(pool: Pool, edition: int, reason: str, now: float) -> None:
    _load_failed(pool, edition, now, reason=reason)
    kill_zygote(pool, edition)


def _loaded(pool: Pool, edition: int, loaded: Loaded, now: float) -> None:
    """Where the master must not run a consumer with which it began, it leaves; later, only the edition does."""
    refusal = pool.tools.judge(pool.name, loaded)
    if refusal is not None and not (pool.is_of_the_start and edition == 1):
        _refuse(pool, edition, refusal, now)
        return
    pool.refusal = refusal
    pool.note_loaded(edition, loaded)
    pool.become(
        history.loaded(pool.observed, edition, now),
        events.consumer_loaded(consumer=pool.consumer, edition=edition, source=loaded.source),
        *(events.consumer_remarked(consumer=pool.consumer, remark=remark) for remark in loaded.remarks),
    )


def _awaited(pool: Pool, slot: int, generation: int) -> Worker | None:
    """The worker that a zygote was asked for and has not named yet."""
    worker = pool.workers.get(slot)
    is_awaited = worker is not None and worker.generation == generation and worker.pid is None
    return worker if is_awaited else None


def _not_forked(
    pool: Pool, edition: int, worker: Worker | None, slot: int, now: float, *, error: OSError | str
) -> None:
    """The system refuses a worker that was asked for. One that is there all the same is let go of, and leaves."""
    if worker is not None:
        let_go(pool, slot, worker)
        note_not_forked(pool, slot, edition, now, error=error)


def _forked(pool: Pool, edition: int, forked: Forked, fds: tuple[int, ...], now: float) -> None:
    slot, worker = forked.slot, _awaited(pool, forked.slot, forked.generation)
    try:
        if worker is not None and not fds:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        is_its_own = _is_its_own(pool, edition, forked.pid, fds)
    except OSError as error:
        _close_all(fds)
        _not_forked(pool, edition, worker, slot, now, error=error)
        return
    if worker is None or not is_its_own:
        _close_all(fds)
        if worker is not None:
            _break(pool, edition, "a zygote named a process that it has not forked")
        return
    worker.pid, worker.pidfd = forked.pid, fds[0]
    generation = forked.generation
    fact = events.worker_forked(consumer=pool.consumer, worker_id=slot, pid=forked.pid, generation=generation)
    pool.become(pool.observed.with_slot(slot, pid=forked.pid, refused=""), fact)
    if worker.ready_at is not None:
        become_ready(pool, slot, worker, now)


def _is_its_own(pool: Pool, edition: int, pid: int, fds: tuple[int, ...]) -> bool:
    zygote = pool.zygotes.get(edition)
    return zygote is not None and len(fds) == 1 and pool.tools.launcher.is_worker(pid, fds[0], zygote=zygote.pid)


def _break(pool: Pool, edition: int, error: str) -> None:
    """A zygote does what the protocol does not allow: it is killed."""
    zygote = pool.zygotes.get(edition)
    if zygote is not None:
        pool.tools.emit(events.zygote_broken(consumer=pool.consumer, error=error))
        pool.tools.launcher.kill(zygote.pid, None)


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
