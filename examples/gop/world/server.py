"""What the game servers and the payment channels have in common: HTTP on a free port, until the process is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Reply(NamedTuple):
    """What is answered. status None: nothing, the connection is closed."""

    status: int | None
    body: bytes = b""
    retry_after_s: int | None = None


Answer = Callable[[str, bytes, dict[str, str]], Reply]
"""Of path, body and headers, their names in lower case."""


def serve(answer: Answer) -> None:
    """Answer requests for ever. The first line on standard output is the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = answer(self.path, body, {name.lower(): value for name, value in self.headers.items()})
            if reply.status is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            if reply.retry_after_s is not None:
                self.send_header("Retry-After", str(reply.retry_after_s))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in http.server
            """The ledger has it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


class Counts:
    """How often each thing came, from any thread."""

    def __init__(self) -> None:
        self._counts: dict[object, int] = {}
        self._lock = threading.Lock()

    def one_more(self, key: object) -> int:
        """How often it has come by now."""
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1
            return self._counts[key]
