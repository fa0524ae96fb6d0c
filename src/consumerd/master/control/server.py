"""The control server: answers the control socket. Runs in the master.

Nobody who connects can hold the master up: connections, lines, answers in flight and waits are all bounded, and a
client that does not read is cut off. Nor can anybody hold the others up: where there is no room for one more, whoever
has asked nothing for longest makes room. Who may: the user who runs the master, and root.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from consumerd import events
from consumerd.errors import StateDirectoryError
from consumerd.events.facts import Fact
from consumerd.master.control.audit import AuditLog
from consumerd.master.control.requests import Responder, peer_of
from consumerd.wire.control import LINE_LIMIT_BYTES
from consumerd.wire.method import Method

MOST_CONNECTIONS = 64
MOST_QUEUED = 1024
ACCEPTED_AT_ONCE = 16
"""Where there is no descriptor for one more, asyncio says so this often, and tries again a second later."""

IDLE_S = 60.0
"""How long a client may keep a connection without a request; one that asked for a stop waits for the end."""


class ControlServer:
    """Listens on the control socket. methods: those that there are, by name; master: what they act with."""

    def __init__(
        self,
        path: Path,
        methods: Mapping[str, type[Method]],
        master: object,
        audit: AuditLog,
        emit: Callable[[Fact], None],
    ) -> None:
        self.path = path
        self._responder = Responder(methods, master, audit, emit)
        self._audit = audit
        self._emit = emit
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._idle: dict[asyncio.Task[None], None] = {}  # those that have asked nothing now, the longest first
        self._server: asyncio.Server | None = None
        self._bound: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen. The caller holds the lock of the state directory, so that a socket found there is a dead master's."""
        sock = _bound(self.path)
        self._bound = _identity(self.path)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=sock, limit=LINE_LIMIT_BYTES, backlog=ACCEPTED_AT_ONCE
        )
        sock.listen(MOST_QUEUED)

    async def listen_again(self) -> bool:
        """Make the socket anew where it is gone, or is another's; whether that was so. Raises what `start` raises."""
        if self._bound is not None and self._bound == _identity(self.path):
            return False
        if self._server is not None:
            self._server.close()
        await self.start()
        return True

    async def close(self) -> None:
        """Stop listening, cut every connection off: whoever waits for the master's end sees it."""
        assert self._server is not None
        self._server.close()
        if self._bound is not None and self._bound == _identity(self.path):  # else it is another master's by now
            self.path.unlink(missing_ok=True)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusal = self._refusal(writer)
        if refusal is not None:
            self._emit(events.control_refused(reason=refusal))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections[task] = writer
        self._idle[task] = None
        task.add_done_callback(self._forget)

    def _refusal(self, writer: asyncio.StreamWriter) -> str | None:
        """Why a client is not served, or None."""
        peer = peer_of(writer)
        if peer.uid not in (os.geteuid(), 0):
            self._audit.note(peer, "connect", {}, f"user {peer.uid} may not")
            return f"user {peer.uid} may not"
        return None if self._has_room() else "too many connections"

    def _has_room(self) -> bool:
        """Whether one more may connect; the one that has been idle for longest is cut off where that helps."""
        if len(self._connections) < MOST_CONNECTIONS:
            return True
        if not self._idle:
            return False
        longest = next(iter(self._idle))
        self._drop(longest)
        longest.cancel()
        return True

    def _drop(self, task: asyncio.Task[None]) -> None:
        self._idle.pop(task, None)
        writer = self._connections.pop(task, None)
        if writer is not None:
            writer.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._drop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._emit(events.control_failed(error=repr(error)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after another, until the client leaves, idles, or sends or reads too slowly."""
        own = asyncio.current_task()
        assert own is not None
        idle_s: float | None = IDLE_S
        with suppress(TimeoutError, ConnectionError):
            while True:
                async with asyncio.timeout(idle_s):
                    line = await _line(reader)
                if line is None:
                    return
                self._idle.pop(own, None)
                method = await self._responder.answer(reader, writer, line)
                if method is not None and method.name == "stop":
                    idle_s = None
                else:
                    self._idle[own] = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bound(path: Path) -> socket.socket:
    """A listening socket that was never open to others, not for a moment."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise StateDirectoryError(
            f"the control socket {path} cannot be made ({error}): name another directory with --state-dir"
        ) from error
    finally:
        os.umask(before)
    sock.listen(MOST_CONNECTIONS)
    return sock


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    """The next line; None at the client's end, or where a line is too long to be a request."""
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None
