"""Stands between clients and a broker, and withholds who coordinates a group until it is told to let go.

That is a broker under load as a client sees it: what it asks the broker for itself is answered, and the answer to
FindCoordinator comes after the question was given up.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

FIND_COORDINATOR = 10  # its key in Kafka's protocol
_CONNECT_S = 10.0


class LateCoordinator:
    """Listens on `port`, and forwards to the port of `forward_to`. Its threads end with the process, or `close()`."""

    def __init__(self) -> None:
        self.letting_go = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._upstream = 0
        self._sockets: list[socket.socket] = [self._listener]

    def forward_to(self, port: int) -> None:
        """Begin to accept."""
        self._upstream = port
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        self.letting_go.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._upstream), _CONNECT_S)
                broker.settimeout(None)
                self._sockets += [client, broker]
                late: set[bytes] = set()
                threading.Thread(target=self._ask, args=(client, broker, late), daemon=True).start()
                threading.Thread(target=self._answer, args=(broker, client, late), daemon=True).start()

    def _ask(self, client: socket.socket, broker: socket.socket, late: set[bytes]) -> None:
        """Forward questions, and note the correlation ids of those whose answers are withheld."""
        with contextlib.suppress(OSError), broker:
            for frame in _frames(client):
                if frame[:2] == struct.pack(">h", FIND_COORDINATOR):
                    late.add(frame[4:8])
                broker.sendall(struct.pack(">i", len(frame)) + frame)

    def _answer(self, broker: socket.socket, client: socket.socket, late: set[bytes]) -> None:
        """Forward answers; a late one holds up those behind it, as the protocol has it."""
        with contextlib.suppress(OSError), client:
            for frame in _frames(broker):
                if frame[:4] in late:
                    self.letting_go.wait()
                client.sendall(struct.pack(">i", len(frame)) + frame)


def _frames(connection: socket.socket) -> Iterator[bytes]:
    """What follows each length, until the connection ends."""
    with connection.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            yield stream.read(struct.unpack(">i", head)[0])
