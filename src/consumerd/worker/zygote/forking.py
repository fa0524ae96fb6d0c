"""Forking: a zygote's work, from what the master sends first to its end. Runs in zygotes.

It imports a consumer's code once, stays single-threaded, opens no client, and leaves last: when the master is gone, its
workers see that on their own channels and drain; those still there after `stop_timeout` are killed from here.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import setproctitle
from msgspec import structs

from consumerd import clock
from consumerd.errors import WireError
from consumerd.model.contract import live_keys
from consumerd.model.exits import WorkerExit
from consumerd.version import __version__
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS, die_with_parent
from consumerd.wire.messages import (
    Amend,
    Amended,
    Exited,
    Fork,
    Forked,
    Hello,
    Loaded,
    LoadFailed,
    Message,
    Seated,
    Stop,
)
from consumerd.worker.seat import Prepared
from consumerd.worker.zygote.entrance import seated_from
from consumerd.worker.zygote.executed import execute_worker
from consumerd.worker.zygote.heap import settle_heap
from consumerd.worker.zygote.loading import Failure, load
from consumerd.worker.zygote.rehearsal import rehearse
from consumerd.worker.zygote.seating import Ends, Work, become_worker

ENDS_A_FORK = 4
READS_AT_ONCE = 32
"""How many messages may wait here with their descriptors, before those are used."""


@dataclass(frozen=True)
class Child:
    """A worker that lives."""

    slot: int
    generation: int
    pid: int
    pidfd: int


class Zygote:
    """Forks when the master says so, reaps what ends, and tells it of both.

    is_forking: False when the import left a thread behind, which a fork would lose: workers are then executed.
    """

    def __init__(self, channel: Channel, work: Work, prepared: Prepared, *, is_forking: bool) -> None:
        self._channel = channel
        self._work = work
        self._prepared = prepared
        self._is_forking = is_forking
        self._children: dict[int, Child] = {}  # by pidfd
        self._poller = select.poll()
        self._poller.register(channel, select.POLLIN)
        self._incoming = select.poll()
        self._incoming.register(channel, select.POLLIN)
        self._untold: list[Child] = []
        self._is_leaving = False
        self._kill_at: float | None = None

    def run(self) -> None:
        """Until asked to stop, or the master is gone; and until the last worker is."""
        while self._children or not self._is_leaving:
            for fd, events in self._poller.poll(self._wait_ms()):
                if fd in self._children:
                    self._bury(self._children[fd])
                elif events & select.POLLOUT:
                    self._flush()
                else:
                    self._hear()
            if self._kill_at is not None and clock.monotonic() >= self._kill_at:
                self._kill_children()

    def _wait_ms(self) -> float | None:
        return None if self._kill_at is None else max(0.0, self._kill_at - clock.monotonic()) * 1000 + 1

    def _hear(self) -> None:
        """Read, then fork all, then tell of all: a page written between two forks would be the earlier one's alone."""
        for _ in range(READS_AT_ONCE):
            self._channel.read_available()
            if self._channel.is_at_end or not self._incoming.poll(0):
                break
        try:
            while (received := self._channel.take()) is not None:
                self._obey(*received)
        finally:
            self._tell_of_forked()
        if self._channel.is_at_end:
            self._poller.unregister(self._channel)
            self._is_leaving = True
            self._kill_at = clock.monotonic() + self._work.stop_timeout_s

    def _tell_of_forked(self) -> None:
        for child in self._untold:
            self._tell(Forked(child.slot, child.generation, child.pid), child.pidfd)
        self._untold.clear()

    def _obey(self, message: Message, fds: tuple[int, ...]) -> None:
        if isinstance(message, Fork) and len(fds) == ENDS_A_FORK:
            self._fork(message, Ends(*fds))
        elif isinstance(message, Amend):
            self._amend(message)
        elif isinstance(message, Stop):
            self._is_leaving = True
        else:
            raise WireError(f"a zygote was sent {type(message).__name__} with {len(fds)} descriptors")

    def _amend(self, amend: Amend) -> None:
        """Fork from another entry from now on, if nothing is wrong with it."""
        work = Work.of(structs.replace(self._work.seated, consumer=amend.consumer))
        prepared = load(work.consumer, work.settings, Path(work.seated.state_dir))
        if isinstance(prepared, Failure):
            self._tell(Amended(prepared.reason))
        else:
            self._work, self._prepared = work, prepared
            self._tell(Amended())

    def _fork(self, fork: Fork, ends: Ends) -> None:
        try:
            pid = self._fork_worker(fork, ends) if self._is_forking else execute_worker(self._work.seated, fork, ends)
        finally:
            ends.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the child does it too; whoever comes first
            os.setpgid(pid, pid)
        pidfd = os.pidfd_open(pid)
        child = self._children[pidfd] = Child(fork.slot, fork.generation, pid, pidfd)
        self._untold.append(child)
        self._poller.register(pidfd, select.POLLIN)

    def _fork_worker(self, fork: Fork, ends: Ends) -> int:
        """Signals wait until the child listens to them: the zygote's own ignoring would lose one."""
        sys.stdout.flush()
        sys.stderr.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._leave_to_parent()
            become_worker(self._work, self._prepared, fork, ends)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _leave_to_parent(self) -> None:
        """In the child: close what is the zygote's. A copy kept here would keep an end of file from ever coming."""
        self._channel.close()
        for pidfd in self._children:
            os.close(pidfd)

    def _bury(self, child: Child) -> None:
        """Kill what the worker's process group still holds while its pid is still its own, then reap and tell."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        self._poller.unregister(child.pidfd)
        del self._children[child.pidfd]
        os.close(child.pidfd)
        self._tell(Exited(child.slot, child.pid, status))

    def _tell(self, message: Message, *fds: int) -> None:
        """Tell the master, now or when it reads again: it may be frozen."""
        if not self._channel.is_at_end:
            self._channel.queue(message, fds)
            self._flush()

    def _flush(self) -> None:
        """Send what waits. Where the master is gone, reading says so next."""
        is_sent = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            is_sent = self._channel.flush()
        self._poller.modify(self._channel, select.POLLIN if is_sent else select.POLLIN | select.POLLOUT)

    def _kill_children(self) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        self._kill_at = None


def thread_count() -> int:
    """How many threads this process has; Python's own count misses those of libraries."""
    return len(list(Path("/proc/self/task").iterdir()))


def serve(channel: Channel, seated_fd: int | None = None) -> int:
    """Be a zygote; the exit code. seated_fd: what an entrance was sent and has left for us.

    Until its code is loaded it dies with its parent.
    """
    gc.enable()
    channel.send(Hello(__version__))
    seated = _received(channel) if seated_fd is None else seated_from(seated_fd)
    if seated is None:
        return WorkerExit.MASTER_GONE
    work = Work.of(seated)
    setproctitle.setproctitle(work.title("zygote"))
    prepared = load(work.consumer, work.settings, Path(seated.state_dir))
    if isinstance(prepared, Failure):
        channel.send(LoadFailed(prepared.reason, prepared.traceback))
        return WorkerExit.LOAD_FAILED
    is_forking = thread_count() == 1
    zygote = Zygote(channel, work, prepared, is_forking=is_forking)
    if is_forking:
        rehearse(work.consumer.common)
        settle_heap()
    loaded = prepared.loaded
    live = tuple(sorted(live_keys(loaded.consumer_class)))
    channel.send(Loaded(loaded.kind.name, asdict(loaded.kind.traits), tuple(loaded.remarks), live))
    die_with_parent(False)
    zygote.run()
    return WorkerExit.DRAINED


def _received(channel: Channel) -> Seated | None:
    """The first message; None where the master is gone."""
    received = channel.receive()
    if received is None:
        return None
    seated, _ = received
    if not isinstance(seated, Seated):
        raise WireError(f"a zygote was sent {type(seated).__name__} first")
    return seated
