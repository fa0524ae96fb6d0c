"""`concurrency = "auto"` before a real HTTP server that serves so many calls at once, and later more, and fewer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import pytest

from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import entry, pool, wait_running, write_config
from servers.waiting import wait_until

END_S = 120.0
CALL_S = 0.1
FEW, MANY = 4, 30
LOOKS = 9

CALLING = """
import asyncio
import http.client
from typing import ClassVar

from consumerd import BaseConsumer


class Threads(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset, record):
        connection = http.client.HTTPConnection("127.0.0.1", self.config["port"])
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        connection.close()


class Coroutines(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    async def handle_task(self, offset, record):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.config["port"])
        writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
        assert (await reader.read()).endswith(b"ok")
        writer.close()
"""


class Server(ThreadingHTTPServer):
    """Serves so many calls at once; the others wait."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._changed = threading.Condition()
        self._serving, self._knee = 0, FEW

    def handle_error(self, request: object, client_address: object) -> None:
        """Who has called is gone: the worker is stopped at the end."""

    def serves(self, at_once: int) -> None:
        with self._changed:
            self._knee = at_once
            self._changed.notify_all()

    def serve_one(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._serving < self._knee)
            self._serving += 1
        time.sleep(CALL_S)
        with self._changed:
            self._serving -= 1
            self._changed.notify()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.serve_one()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in http.server
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def wait_width(master: Running, least: int, most: int) -> None:
    """Until it has stayed about there for some looks; each is of another moment."""
    widths: deque[int] = deque(maxlen=LOOKS)
    handled = -1

    def is_there() -> bool:
        nonlocal handled
        worker = pool(master, "calling")["workers"][0]
        if worker.get("handled", -1) > handled:
            handled = worker["handled"] + FEW
            widths.append(worker["at_once"])
        return len(widths) == LOOKS and least <= median(widths) <= most and least <= widths[-1] <= most

    wait_until(is_there, END_S, message=lambda: f"not {least} to {most}, but {list(widths)}{master.tail()}")


@pytest.mark.parametrize("name", ["Threads", "Coroutines"])
def test_as_many_run_as_are_served_and_it_follows(tmp_path: Path, server: Server, name: str) -> None:
    (tmp_path / "calling.py").write_text(CALLING)
    written = entry(name, module="calling", port=server.server_port, concurrency={"max": 60})
    written["name"] = "calling"
    config = write_config(tmp_path, written)
    with contextlib.ExitStack() as stack:
        where = {"state_dir": tmp_path / "state", "log": tmp_path / "log"}
        master = stack.enter_context(running(config, **where, env=environment()))
        wait_running(master, 1)
        wait_width(master, FEW - 1, 3 * FEW)
        server.serves(MANY)
        wait_width(master, MANY // 2, 60)
        server.serves(FEW)
        wait_width(master, FEW - 1, 3 * FEW)
        shown = master.verb("status", "--workers").stdout.decode()
        assert " tasks, the oldest" in shown
