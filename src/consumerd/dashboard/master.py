"""The master, as the page asks it: by its control socket, in the name of whoever looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from consumerd.cli.verb import Verb
from consumerd.verbs.metrics import ShowMetrics
from consumerd.wire.control import Connection, call
from consumerd.wire.method import Method, read_answer
from consumerd.wire.metrics import Metrics

ANSWERS_IN_S = 5.0
ITEM_IN_S = 60.0


class Master:
    """Asks one question after the other. All of it blocks, and raises what `wire.control.call` raises."""

    def __init__(self, control_socket: Path) -> None:
        self.control_socket = control_socket

    def answer(self, method: Method, via: str = "") -> Any:  # of the method's own type
        """What it answers; of a stream, all items of all its pages. via: in whose name, for the audit log."""
        if method.is_stream:
            with Connection(self.control_socket) as connection:
                pages = connection.follow(method.name, method.parameters(), timeout_s=ITEM_IN_S, via=via)
                return [item for page in pages if isinstance(page, list) for item in page]
        timeout_s = method.timeout_s if isinstance(method, Verb) else ANSWERS_IN_S
        plain = call(self.control_socket, method.name, method.parameters(), timeout_s=timeout_s, via=via)
        return read_answer(plain, method.result, method.name)

    def metrics(self) -> Metrics:
        """All numbers."""
        found = self.answer(ShowMetrics())
        assert isinstance(found, Metrics)
        return found
