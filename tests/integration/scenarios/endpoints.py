"""Three HTTP endpoints of apps, a process of its own: `python endpoints.py --ledger FILE --failures N --pause S`.

`/fine` takes every event; `/flaky` answers 503 to the first N calls of each event, then takes it; `/broken` answers
500, always. Every call is one JSON line of the ledger, appended with one write before the answer goes out. The first
line on standard output is the address.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FINE, FLAKY, BROKEN = "/fine", "/flaky", "/broken"


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the ledger has it."""

    path: str
    event: int
    status: int


def read_calls(ledger: Path) -> list[Call]:
    """The calls so far, in order."""
    if not ledger.exists():
        return []
    whole_lines = ledger.read_text().rpartition("\n")[0].splitlines()
    return [Call(**json.loads(line)) for line in whole_lines]


class Endpoints(ThreadingHTTPServer):
    """The server, and what it remembers of each event."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, ledger: Path, failures: int, pause_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pause_s = pause_s
        self._failures = failures
        self._ledger_fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._calls: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def answer(self, path: str, event: int) -> int:
        """Note the call; the status that it gets."""
        with self._lock:
            self._calls[path, event] += 1
            status = self._status(path, self._calls[path, event])
            line = json.dumps({"path": path, "event": event, "status": status})
            os.write(self._ledger_fd, f"{line}\n".encode())
        return status

    def _status(self, path: str, call: int) -> int:
        if path == FINE:
            return 200
        if path == FLAKY:
            return 503 if call <= self._failures else 200
        return 500


class _Handler(BaseHTTPRequestHandler):
    server: Endpoints

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.answer(self.path, json.loads(body)["id"])
        time.sleep(self.server.pause_s)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in http.server
        """The ledger has it."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--failures", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.0)
    arguments = parser.parse_args()
    server = Endpoints(arguments.ledger, arguments.failures, arguments.pause)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
