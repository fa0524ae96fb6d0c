"""What is answered over HTTP: metrics, and whether the master lives and is healthy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumerd.clock import monotonic
from consumerd.errors import ConsumerdError
from consumerd.metrics.exposition import CONTENT_TYPE, text
from consumerd.wire.control import call
from consumerd.wire.method import read_answer
from consumerd.wire.metrics import Metrics
from consumerd.wire.status import ask_status

FRESH_S = 1.0
"""Whoever asks within so long gets the same answer: nobody who asks often is a load to the master."""

ANSWERS_IN_S = 5.0


def make_app(control_socket: Path) -> Starlette:
    """Asks the master at this socket."""
    metrics = Fresh(lambda: read_answer(call(control_socket, "metrics", timeout_s=ANSWERS_IN_S), Metrics, "metrics"))
    status = Fresh(lambda: ask_status(control_socket))

    def show_metrics(request: Request) -> Response:
        return Response(text(metrics.now()), media_type=CONTENT_TYPE)

    def is_alive(request: Request) -> Response:
        return JSONResponse({"pid": status.now().pid})

    def is_healthy(request: Request) -> Response:
        found = status.now()
        body = {"is_healthy": found.is_healthy, "state": found.state, "problems": found.problems}
        return JSONResponse(body, status_code=200 if found.is_healthy else 503)

    routes = [Route("/metrics", show_metrics), Route("/livez", is_alive), Route("/readyz", is_healthy)]
    return Starlette(routes=routes, exception_handlers={ConsumerdError: _unanswered})


def _unanswered(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=503)


class Fresh:
    """What the master answered last, asked anew once it is not fresh any more; by one thread at a time."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._turn = threading.Lock()
        self._answered: Any = None
        self._until = 0.0

    def now(self) -> Any:
        """Raises what the question raises."""
        with self._turn:
            if monotonic() >= self._until:
                self._answered = self._ask()
                self._until = monotonic() + FRESH_S
            return self._answered
