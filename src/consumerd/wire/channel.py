"""A channel: messages and descriptors over one end of a Unix stream socket pair.

Zygotes, workers and helpers wait in `send` and `receive`; the master never waits: it lets its event loop call
`read_available` and `flush`, and takes what came with `take`.
"""

from __future__ import annotations

import array
import os
import select
import socket
from collections import deque
from collections.abc import Sequence

from consumerd import clock
from consumerd.errors import UnreadError, WireError
from consumerd.wire.json_text import OBJECT_LIMIT_BYTES, Parser, encode
from consumerd.wire.messages import Message, from_plain, to_plain

FDS_A_MESSAGE = 8
READ_BYTES = 65_536
OUTBOX_LIMIT_BYTES = OBJECT_LIMIT_BYTES + READ_BYTES
_FDS_KEY = "fds"  # how many descriptors travel with the object; no message has a field of that name

Received = tuple[Message, tuple[int, ...]]


class Channel:
    """One end of a socket pair, which it owns. One thread may send while another receives; no more.

    Descriptors received belong to whoever takes the message; those nobody took are closed with the channel.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._parser = Parser()
        self._inbox: deque[Received] = deque()
        self._fds: deque[tuple[int, ...] | None] = deque()  # of one message each; None: the system had no room
        self._outbox: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._outbox_bytes = 0
        self.is_at_end = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end, and every descriptor that was received or queued here and not taken or sent."""
        for fds in (*(fds for _, fds in (*self._inbox, *self._outbox)), *self._fds):
            _close_all(fds or ())
        self._inbox.clear()
        self._outbox.clear()
        self._fds.clear()
        self._socket.close()

    # For those who wait.

    def send(self, message: Message, fds: Sequence[int] = (), *, timeout_s: float = 5.0) -> None:
        """Send one message; copies of `fds` travel with it.

        TimeoutError: the peer has read nothing for so long, and the message was not taken. BrokenPipeError or
        ConnectionResetError: the peer is gone.
        """
        deadline = clock.monotonic() + timeout_s
        if not self._flush_until(deadline):
            raise TimeoutError("the peer of a channel does not read")
        self.queue(message, fds)
        self._flush_until(deadline)

    def receive(self, timeout_s: float | None = None) -> Received | None:
        """The next message and its descriptors; None when the peer is gone.

        TimeoutError: nothing came for `timeout_s` seconds (None: wait for ever; 0: only what is here already).
        """
        deadline = None if timeout_s is None else clock.monotonic() + timeout_s
        while not self._inbox and not self.is_at_end:
            if not self._wait(select.POLLIN, deadline):
                raise TimeoutError("no message came")
            self.read_available()
        return self.take()

    def _flush_until(self, deadline: float) -> bool:
        while not self.flush():
            if not self._wait(select.POLLOUT, deadline):
                return False
        return True

    def _wait(self, event: int, deadline: float | None) -> bool:
        poller = select.poll()
        poller.register(self._socket, event)
        return bool(poller.poll(None if deadline is None else max(0.0, deadline - clock.monotonic()) * 1000))

    # For an event loop.

    def read_available(self) -> bool:
        """Read once, without waiting, what the socket holds; whether that was anything.

        A message for whose descriptors this process had no room comes without any. WireError when the peer breaks the
        protocol.
        """
        try:
            data, fds, flags = self._receive_some()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionResetError:
            data, fds, flags = b"", [], 0
        if flags & socket.MSG_CTRUNC:
            _close_all(fds)
            self._fds.append(None)
        elif fds:
            self._fds.append(tuple(fds))
        if not data:
            self.is_at_end = True
            return False
        for plain in self._parser.feed(data):
            self._accept(plain)
        return True

    def _receive_some(self) -> tuple[bytes, list[int], int]:
        room = socket.CMSG_SPACE(FDS_A_MESSAGE * array.array("i").itemsize)
        data, ancillary, flags, _ = self._socket.recvmsg(READ_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        return data, list(fds), flags

    def _accept(self, plain: dict[str, object]) -> None:
        count = plain.pop(_FDS_KEY, 0)
        if type(count) is not int or not 0 <= count <= FDS_A_MESSAGE:
            raise WireError(f"a message says that it has {count!r} descriptors")
        came = self._fds.popleft() if count and self._fds else ()
        fds = came or ()
        if came is not None and len(fds) != count:
            _close_all(fds)
            raise WireError(f"a message came with {len(fds)} descriptors and says {count}")
        try:
            self._inbox.append((from_plain(plain), fds))
        except WireError:
            _close_all(fds)
            raise

    def take(self) -> Received | None:
        """The next message that was read, or None."""
        return self._inbox.popleft() if self._inbox else None

    def queue(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Put a message where `flush` sends it from. UnreadError when the peer has left too much unread.

        OSError where the system refuses copies of `fds`: nothing is queued then.
        """
        assert len(fds) <= FDS_A_MESSAGE
        plain = to_plain(message)
        if fds:
            plain[_FDS_KEY] = len(fds)
        frames = encode(plain)
        if self._outbox_bytes + len(frames) > OUTBOX_LIMIT_BYTES:
            raise UnreadError("the peer of a channel does not read: too much waits for it")
        self._outbox.append((memoryview(frames), _copies(fds)))
        self._outbox_bytes += len(frames)

    @property
    def has_unsent(self) -> bool:
        """Whether something is queued."""
        return bool(self._outbox)

    def flush(self) -> bool:
        """Send, without waiting, what is queued; whether that was all."""
        while self._outbox:
            frames, fds = self._outbox[0]
            try:
                sent = self._send_some(frames, fds)
            except (BlockingIOError, InterruptedError):
                return False
            self._outbox_bytes -= sent
            _close_all(fds)
            self._outbox.popleft()
            if sent < len(frames):
                self._outbox.appendleft((frames[sent:], ()))
        return True

    def _send_some(self, frames: memoryview, fds: Sequence[int]) -> int:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return self._socket.sendmsg([frames], rights, socket.MSG_NOSIGNAL)


def _copies(fds: Sequence[int]) -> tuple[int, ...]:
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))  # noqa: PERF401 - what was copied before a refusal has to be known
    except OSError:
        _close_all(copies)
        raise
    return tuple(copies)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
