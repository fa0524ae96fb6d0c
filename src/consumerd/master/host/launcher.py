"""Processes on this machine: zygotes executed, workers forked by them. Runs in the master.

Each end of a pipe exists in exactly one process: all of ours are close-on-exec, a child inherits what it is passed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumerd.state.locks import holder_of, kill_if
from consumerd.wire.board import STACKS_SIGNAL, Board
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Fork

FDS_OF_A_FORK = 12
FDS_SPARED = 16
LOW_LIMIT = 4096


@dataclass(frozen=True)
class Executed:
    """A process that was executed, a zygote or a store helper, and the master's ends of what it holds."""

    pid: int
    channel: Channel
    stderr_fd: int


@dataclass(frozen=True)
class Commanded:
    """A command of the user's that was executed, the leader of a process group; what it writes comes by `stderr_fd`."""

    pid: int
    stderr_fd: int


@dataclass(frozen=True)
class WorkerEnds:
    """What the master keeps of a worker from the fork on; its pid and pidfd come later."""

    channel: Channel
    board: Board
    stderr_fd: int


class Launcher:
    """Starts, ends and reaps processes, and never waits. OSError where the system refuses a process or a descriptor."""

    def __init__(self, directory: Path | None = None) -> None:
        """directory: in which processes are executed, looked up each time; None: where the master is."""
        self._directory = directory
        self._executed: dict[int, subprocess.Popen[bytes]] = {}
        self._ahead: dict[str, Executed] = {}  # by module

    def execute_ahead(self, module: str) -> int | None:
        """Execute `module` now, for the first who asks for it, unless it is reaped before; its pid, None where the
        system refuses."""
        try:
            ahead = self._ahead[module] = self._execute(module)
        except OSError:
            return None
        return ahead.pid

    def close(self) -> None:
        """End what was executed ahead and nobody has asked for."""
        while self._ahead:
            _, unused = self._ahead.popitem()
            if unused.pid in self._executed:
                self.kill(unused.pid, None)
                self.reap(unused.pid, with_group=False)
            _close(unused)

    def execute(self, module: str) -> Executed:
        """A fresh interpreter that runs `module`, which finds its end of the channel by `wire.inherited`."""
        if (ahead := self._ahead.pop(module, None)) is not None:
            if ahead.pid in self._executed:
                return ahead
            _close(ahead)
        return self._execute(module)

    def _execute(self, module: str) -> Executed:
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, channel_end = _channel(ours, theirs)
            stderr_fd, stderr_end = _pipe(ours, theirs)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(channel_end.fileno())],
                stdin=subprocess.DEVNULL,
                stderr=stderr_end,
                pass_fds=(channel_end.fileno(),),
                process_group=0,
                cwd=self._directory if self._directory is not None and self._directory.is_dir() else None,
            )
            ours.pop_all()
        self._executed[process.pid] = process
        return Executed(process.pid, channel, stderr_fd)

    def command(self, arguments: Sequence[str], told: str, environment: Mapping[str, str]) -> Commanded:
        """Execute a command, with `told` on its stdin."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            output_fd, output_end = _pipe(ours, theirs)
            stdin = theirs.enter_context(
                os.fdopen(os.memfd_create("consumerd-event", os.MFD_CLOEXEC), "w+b")
            )  # a file never fills, as a pipe would
            stdin.write(told.encode("utf-8", "replace"))
            stdin.seek(0)
            process = subprocess.Popen(
                list(arguments), stdin=stdin, stdout=output_end, stderr=output_end, env=environment, process_group=0
            )
            ours.pop_all()
        self._executed[process.pid] = process
        return Commanded(process.pid, output_fd)

    def kill_group(self, pid: int) -> None:
        """End a command that is not reaped yet, and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def fork(self, zygote: Channel, fork: Fork, *, lock: Path, table_fd: int, awaited: int) -> WorkerEnds:
        """Have a zygote fork a worker, which will lock the file `lock`. table_fd: of the shared table. awaited: so many
        descriptors are still to come for workers that were asked for before.
        """
        _require_descriptors(FDS_OF_A_FORK + awaited + FDS_SPARED)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, channel_end = _channel(ours, theirs)
            stderr_fd, stderr_end = _pipe(ours, theirs)
            lock_fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            theirs.callback(os.close, lock_fd)
            board, board_fd = Board.create()
            ours.callback(board.close)
            theirs.callback(os.close, board_fd)
            zygote.queue(fork, (channel_end.fileno(), board_fd, lock_fd, stderr_end, table_fd))
            ours.pop_all()
        return WorkerEnds(channel, board, stderr_fd)

    def kill(self, pid: int, pidfd: int | None) -> None:
        """End a process at once; through its pidfd where its pid may be somebody else's by now."""
        _send(pid, pidfd, signal.SIGKILL)

    def ask_stacks(self, pid: int, pidfd: int | None) -> None:
        """Have a worker write the stacks of its threads on its board, which takes it a moment."""
        _send(pid, pidfd, STACKS_SIGNAL)

    def is_worker(self, pid: int, pidfd: int, *, zygote: int) -> bool:
        """Whether the descriptor is of this process, and that is a child of the zygote; what a zygote tells of itself
        is not believed. OSError where the system has no descriptor for the look.

        Where its zygote has just ended, a worker is our child; what we executed ourselves is no worker.
        """
        try:
            named = Path(f"/proc/self/fdinfo/{pidfd}").read_text().partition("\nPid:")[2].split()[:1]
        except FileNotFoundError:
            return False
        try:
            parent = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return named in (["-1"], [str(pid)])  # it has ended, and is reaped
        is_ours = parent == os.getpid() and pid not in self._executed
        return named == [str(pid)] and (parent == zygote or is_ours)

    def is_stopped(self, pid: int) -> bool:
        """Whether a process was stopped by a signal (SIGSTOP) and not continued since: its state is `T`."""
        try:
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
        except OSError:  # it has ended
            return False
        return state == b"T"

    def ended(self) -> int | None:
        """The pid of an ended child, adopted perhaps, that nobody has reaped yet; the next once this one is reaped."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        return None if found is None else found.si_pid

    def reap(self, pid: int, *, with_group: bool) -> int | None:
        """Reap an ended child: its wait status. with_group: first kill what its process group still holds."""
        if with_group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return None
        process = self._executed.pop(pid, None)
        if process is not None:
            process.returncode = os.waitstatus_to_exitcode(status)  # else Popen would wait for a stranger
        return status

    def is_child(self, pid: int) -> bool:
        """Whether this process is a child of ours, alive or not yet reaped."""
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def holder(self, lock: Path) -> int | None:
        """Who holds the lock of a slot; None where nobody does. OSError where that cannot be read."""
        with lock.open("r+b") as file:
            return holder_of(file.fileno())

    def kill_holder(self, lock: Path, *, but: int | None) -> int | None:
        """Kill whoever holds the lock of a slot, unless it is `but`; the pid, or None where there was no one."""
        with lock.open("r+b") as file:
            holder = holder_of(file.fileno())
            if holder is None or holder == but:
                return None
            return holder if kill_if(holder, lambda: holder_of(file.fileno()) == holder) else None


def _require_descriptors(count: int) -> None:
    """OSError unless so many are free. Some are spared, so that a master at its limit can still be asked why.

    A limit that leaves room for thousands is not looked at: that would cost more with each worker.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_low = 0 <= limit < LOW_LIMIT
    if is_low and limit - sum(1 for _ in Path("/proc/self/fd").iterdir()) < count:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _close(executed: Executed) -> None:
    executed.channel.close()
    os.close(executed.stderr_fd)


def _send(pid: int, pidfd: int | None, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or may not be ended by us
        if pidfd is None:
            os.kill(pid, number)
        else:
            signal.pidfd_send_signal(pidfd, number)


def _channel(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[Channel, socket.socket]:
    our_end, their_end = socket.socketpair()
    ours.callback(our_end.close)
    theirs.callback(their_end.close)
    return Channel(our_end), their_end


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, read_end)
    theirs.callback(os.close, write_end)
    os.set_blocking(read_end, False)
    return read_end, write_end
