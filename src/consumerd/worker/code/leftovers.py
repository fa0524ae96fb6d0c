"""What importing a consumer's module leaves behind in its process, and whether workers can be forked from that.

A forked process does not have the threads of the other, and shares its connections and event loops: two workers that
write to one connection read each other's answers. Runs in zygotes, and in probes for `check`.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SQLITE_MAGIC = b"SQLite format 3\0"
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
_IMPORTED_ONCE = "importing its module, which is done once and before the workers are forked,"


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What an import has left behind, in words.

    threads, connections: a name for each.
    event_loops: their number.
    children: a name for each process that it has started.
    directory: the one to which it has changed, or None.
    """

    threads: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    event_loops: int = 0
    children: tuple[str, ...] = ()
    directory: str | None = None

    @property
    def is_forkable(self) -> bool:
        """Whether workers can be forked: nothing is there that a fork would lose or share."""
        return not (self.threads or self.connections or self.event_loops)

    def remarks(self, *, is_forking: bool) -> tuple[str, ...]:
        """One sentence for each kind of thing. is_forking: whether the workers will be forked all the same."""
        found: list[str] = []
        executed = "each worker is executed instead of forked, and imports the module itself"
        if self.threads:
            then = "the forked workers do not have it" if is_forking else executed
            found.append(f"leaves a thread behind ({_listed(self.threads)}): {then}; start it in pre_consume")
        shared = [*self.connections, *(["an event loop"] if self.event_loops else [])]
        if shared:
            then = "the forked workers share it, and take each other's answers" if is_forking else executed
            found.append(f"leaves a connection open ({_listed(shared)}): {then}; open it in pre_consume")
        if self.children:
            found.append(
                f"has started a process ({_listed(self.children)}): it ends with the process that started it, at each "
                "restart and reload; start it in pre_consume, or outside consumerd"
            )
        if self.directory is not None:
            found.append(
                f"changes the directory to {self.directory}: its workers start there; set configs.directory instead"
            )
        return tuple(f"{_IMPORTED_ONCE} {sentence}" for sentence in found)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a process has before the import: threads, descriptors, children, and the directory it is in."""

    threads: frozenset[str]
    descriptors: frozenset[tuple[str, str]]
    children: frozenset[str]
    directory: str

    @classmethod
    def now(cls) -> Inventory:
        return cls(_names("/proc/self/task"), _descriptors(), children(), _target("/proc/self/cwd"))

    def left_since(self) -> Leftovers:
        """What is there now and was not then. What only waits to be collected as garbage does not count."""
        left = self._left()
        if left.is_forkable:
            return left
        gc.collect()
        return self._left()

    def _left(self) -> Leftovers:
        now = Inventory.now()
        added = [(int(fd), target) for fd, target in now.descriptors - self.descriptors]
        started = sorted(now.children - self.children, key=int)
        connections = (_connection(fd, target, started) for fd, target in sorted(added))
        return Leftovers(
            threads=tuple(_thread_names(now.threads - self.threads)),
            connections=tuple(found for found in connections if found),
            event_loops=sum(target == "anon_inode:[eventpoll]" for _, target in added),
            children=tuple(f"{_command(pid)}, pid {pid}" for pid in started),
            directory=now.directory if now.directory != self.directory else None,
        )


def _connection(fd: int, target: str, started: list[str]) -> str:
    """What this descriptor is connected to, in words; empty where sharing it does no harm, or where it is gone."""
    with suppress(OSError):
        if target.startswith("socket:"):
            return _peer_of(fd)
        if target.startswith("pipe:") and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            writer = next((pid for pid in started if target in _targets(pid)), None)
            return "" if writer is None else f"a pipe from {_command(writer)}"
        if target.startswith("/") and os.pread(fd, len(SQLITE_MAGIC), 0) == SQLITE_MAGIC:
            return f"the SQLite file {target}"
    return ""


def _peer_of(fd: int) -> str:
    """To whom a stream socket is connected. Datagrams are whole by themselves, and a pair has both its ends here."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.type not in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            return ""
        peer = sock.getpeername()
        if sock.family != socket.AF_UNIX:
            return f"a socket to {peer[0]} port {peer[1]}" if isinstance(peer, tuple) else "a socket"
        pid, _, _ = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if pid != os.getpid():
            name = os.fsdecode(peer) if peer else f"process {pid}"
            return f"a socket to {name}"
    return ""


def _thread_names(ids: frozenset[str]) -> Iterator[str]:
    """Python's name of each thread, or the system's of one that a library has started."""
    known = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    for number in sorted(ids, key=int):
        yield known.get(number) or _text(f"/proc/self/task/{number}/comm")


def _listed(things: tuple[str, ...] | list[str]) -> str:
    """At most three by name."""
    more = f" and {len(things) - 3} more" if len(things) > 3 else ""
    return ", ".join(things[:3]) + more


def _descriptors() -> frozenset[tuple[str, str]]:
    return frozenset((name, _target(f"/proc/self/fd/{name}")) for name in _names("/proc/self/fd"))


def children() -> frozenset[str]:
    """The pids of this process's children."""
    return frozenset(_text(f"/proc/self/task/{os.getpid()}/children").split())


def children_by_pipe() -> frozenset[str]:
    """Those that hold an end of a pipe of this process, but for its standard streams."""
    ours = {target for fd, target in _descriptors() if int(fd) > 2 and target.startswith("pipe:")}
    return frozenset(pid for pid in children() if ours & set(_targets(pid)))


def _targets(pid: str) -> list[str]:
    """What a process's descriptors are."""
    with suppress(OSError):
        return [_target(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return []


def _command(pid: str) -> str:
    return _text(f"/proc/{pid}/comm")


def _names(directory: str) -> frozenset[str]:
    return frozenset(entry.name for entry in Path(directory).iterdir())


def _target(link: str | Path) -> str:
    try:
        return str(Path(link).readlink())
    except OSError:  # it is gone by now
        return ""


def _text(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:  # it is gone by now, or the kernel does not have it
        return ""
