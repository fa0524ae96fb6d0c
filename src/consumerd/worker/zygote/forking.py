"""Forking: a zygote forks workers when the master says so, and tells it of their ends. Runs in zygotes.

A zygote leaves last: when the master is gone, its workers see that on their own channels and drain; those still there
after `stop_timeout` are killed from here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from msgspec import structs

from consumerd import clock
from consumerd.errors import WireError
from consumerd.model.failure import refusal
from consumerd.standard_streams import flush_streams
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS
from consumerd.wire.messages import Amend, Amended, Exited, Fork, Forked, Message, NotForked, Stop
from consumerd.worker.process import become_worker
from consumerd.worker.process_end import forget_exit_handlers
from consumerd.worker.template import Descriptors, Failure, Template, load

SignalHandler = Callable[[int, FrameType | None], Any] | int | None  # as `signal` types it
ENDS_A_FORK = 5
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

    execute: executes a worker instead, where a fork would lose or share what the import left behind; or None.
    on_child: what the import has made of SIGCHLD; a worker has that again.
    """

    def __init__(
        self,
        channel: Channel,
        template: Template,
        execute: Callable[[Template, Fork, Descriptors], int] | None,
        on_child: SignalHandler,
    ) -> None:
        self._channel = channel
        self._template = template
        self._execute = execute
        self._on_child = on_child
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
            for child in self._untold:
                self._tell(Forked(child.slot, child.generation, child.pid), child.pidfd)
            self._untold.clear()
        if self._channel.is_at_end:
            self._poller.unregister(self._channel)
            self._is_leaving = True
            self._kill_at = clock.monotonic() + self._template.stop_timeout_s

    def _obey(self, message: Message, fds: tuple[int, ...]) -> None:
        if isinstance(message, Fork) and len(fds) == ENDS_A_FORK:
            self._fork(message, Descriptors(*fds))
        elif isinstance(message, Fork) and not fds:
            self._refuse(message, OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
        elif isinstance(message, Amend):
            self._amend(message)
        elif isinstance(message, Stop):
            self._is_leaving = True
        else:
            raise WireError(f"a zygote was sent {type(message).__name__} with {len(fds)} descriptors")

    def _amend(self, amend: Amend) -> None:
        """Fork from another entry from now on, if nothing is wrong with it."""
        template = load(structs.replace(self._template.assignment, consumer=amend.consumer))
        if isinstance(template, Failure):
            self._tell(Amended(template.reason))
        else:
            self._template = template
            self._tell(Amended())

    def _fork(self, fork: Fork, fds: Descriptors) -> None:
        try:
            pid = self._fork_worker(fork, fds) if self._execute is None else self._execute(self._template, fork, fds)
            pidfd = _watched(pid)
        except OSError as error:
            self._refuse(fork, error)
            return
        finally:
            fds.close()
        child = self._children[pidfd] = Child(fork.slot, fork.generation, pid, pidfd)
        self._untold.append(child)
        self._poller.register(pidfd, select.POLLIN)

    def _refuse(self, fork: Fork, error: OSError) -> None:
        """The system refuses the worker. Those that live are not concerned."""
        self._tell(NotForked(fork.slot, fork.generation, refusal(error)))

    def _fork_worker(self, fork: Fork, fds: Descriptors) -> int:
        """Signals wait until the child listens to them: the zygote's own ignoring would lose one."""
        flush_streams()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        if pid == 0:
            self._leave_to_parent()
            become_worker(self._template, fork, fds)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _leave_to_parent(self) -> None:
        """In the child: close what is the zygote's. A copy kept here would keep an end of file from ever coming.

        Python has seeded its own random numbers anew by now; numpy's would be the same in each worker.
        """
        signal.signal(signal.SIGCHLD, self._on_child)
        if (numpy_random := sys.modules.get("numpy.random")) is not None:
            numpy_random.seed()
        forget_exit_handlers()
        self._channel.close()
        for pidfd in self._children:
            os.close(pidfd)

    def _bury(self, child: Child) -> None:
        """Kill what the worker's process group still holds while its pid is still its own, then reap and tell."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        status = _reaped(child.pid)
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


def _watched(pid: int) -> int:
    """The pidfd of a new child, now in a group of its own; where there is none, the child is ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the child does it too; whoever comes first
        os.setpgid(pid, pid)
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        _reaped(pid)
        raise


def _reaped(pid: int) -> int | None:
    """A child's wait status; None where what the consumer's module has set up has taken it from us."""
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return None
