"""How many connections are open, and for how long one may stay that asks for nothing."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

MOST_CONNECTIONS = 400
"""Streams have a hundred of them at most."""

KEPT_S = 5
"""So long a connection stays open for the next request."""

LOOKED_AT_EVERY_S = 10.0
"""A request whose headers have not come is found after so long once, and closed when it is found again."""


class BoundedConnection(H11Protocol):
    """Closes what is one too many, and what has begun a request and does not end its headers."""

    _look: asyncio.TimerHandle | None = None
    _answered: RequestResponseCycle | None = None
    _is_found = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._look = self.loop.call_later(LOOKED_AT_EVERY_S, self._look_again)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._look is not None:
            self._look.cancel()

    def _look_again(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_idle = cycle is None or cycle.response_complete
        if is_idle and self._is_found and cycle is self._answered:
            self.transport.close()
            return
        self._is_found, self._answered = is_idle, cycle
        self._look = self.loop.call_later(LOOKED_AT_EVERY_S, self._look_again)
