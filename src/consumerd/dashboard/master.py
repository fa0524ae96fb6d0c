"""The master, as the page asks it: by its control socket, in the name of whoever looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.errors import ConsumerdError
from consumerd.wire.method import Method, ask, follow

LOOKS_FOR_S = 20.0
TOO_LONG = (
    f"it was looked for {LOOKS_FOR_S:g} s, and there is more to look at: narrow it down by consumer or time, or ask "
    "consumerd parked, which takes as long as it needs"
)


class Master:
    """Asks one question after the other. All of it blocks, and raises what `wire.control.call` raises."""

    def __init__(self, control_socket: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self.control_socket = control_socket
        self._clock = clock

    def answer(self, method: Method, via: str = "") -> Any:  # of the method's own type
        """What it answers; of a stream, all items of all its pages. via: in whose name, for the audit log."""
        return list(self._items(method, via)) if method.is_stream else ask(self.control_socket, method, via=via)

    def _items(self, method: Method, via: str) -> Iterator[object]:
        """ConsumerdError where a look takes too long; what changes something goes on to its end."""
        is_look = not method.is_act or getattr(method, "dry_run", False)
        until = self._clock.monotonic() + LOOKS_FOR_S
        for page in follow(self.control_socket, method, via=via):
            yield from page
            if is_look and self._clock.monotonic() > until:
                raise ConsumerdError(TOO_LONG)
