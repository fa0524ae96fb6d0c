"""A connection in between: what passes on to a server, and may lose its answers, or let nothing through."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
from collections.abc import Iterator

from sqlalchemy import make_url

_CHUNK_BYTES = 65536
_COMMIT = re.compile(rb"\bCOMMIT\b")  # no AUTOCOMMIT, no READ COMMITTED


class Proxy:
    """Passes on what clients of a server say, and what it answers.

    loses_commits: the answer to a COMMIT is read, so that it has happened, and thrown away with its connection. So is
    the next one's, as long as this is true.
    """

    def __init__(self, host: str, port: int) -> None:
        self.loses_commits = False
        self.lost = 0
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Let nothing through, and tell nobody: connections stay, new ones are never answered."""
        self._is_whole.clear()

    def mend(self) -> None:
        """Let all through again, and what has waited first, as a network does that sends again."""
        self._is_whole.set()

    def close(self) -> None:
        """Accept nobody any more; whoever is connected stays so."""
        self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Pass on both ways until one end leaves, or an answer is lost."""
        is_commit = False
        self._is_whole.wait()
        with client, socket.create_connection(self._server) as server, contextlib.suppress(OSError):
            while True:
                for source in select.select((client, server), (), ())[0]:
                    data = source.recv(_CHUNK_BYTES)
                    self._is_whole.wait()
                    if not data:
                        return
                    if source is server and is_commit:
                        self.lost += 1
                        return
                    is_commit = self.loses_commits and _COMMIT.search(data) is not None
                    (server if source is client else client).sendall(data)


@contextlib.contextmanager
def between(url: str) -> Iterator[tuple[str, Proxy]]:
    """The URL of the same database through a proxy, and the proxy."""
    place = make_url(url)
    assert place.host is not None
    assert place.port is not None
    proxy = Proxy(place.host, place.port)
    try:
        yield place.set(port=proxy.port).render_as_string(hide_password=False), proxy
    finally:
        proxy.close()
