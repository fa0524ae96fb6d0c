"""Connections that ask for nothing, on a loop whose timers the test calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from consumerd.config.dashboard import DashboardSettings
from consumerd.dashboard.access.connections import LOOKED_AT_EVERY_S, MOST_CONNECTIONS, BoundedConnection
from consumerd.dashboard.serving import server_config


class Loop:
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, call: Callable[[], None]) -> MagicMock:
        self.later.append((delay_s, call))
        return MagicMock()

    def create_task(self, coroutine: Any) -> MagicMock:
        coroutine.close()
        return MagicMock()

    def look(self) -> None:
        """Call what was to be called at the next look."""
        place = next(place for place, (delay_s, _) in enumerate(self.later) if delay_s == LOOKED_AT_EVERY_S)
        self.later.pop(place)[1]()


def connected(loop: Loop, state: ServerState) -> tuple[BoundedConnection, MagicMock]:
    config = server_config(PlainTextResponse("ok"), DashboardSettings())  # type: ignore[arg-type]
    config.load()
    connection = BoundedConnection(config, state, {}, loop)  # type: ignore[arg-type]
    transport = MagicMock()
    transport.get_extra_info.return_value = None
    connection.connection_made(transport)
    return connection, transport


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
def test_what_sends_no_whole_request_is_closed_at_the_second_look(sent: bytes) -> None:
    loop = Loop()
    connection, transport = connected(loop, ServerState())
    if sent:
        connection.data_received(sent)
    loop.look()
    assert not transport.close.called
    loop.look()
    assert transport.close.called


def test_what_is_being_answered_stays() -> None:
    loop = Loop()
    connection, transport = connected(loop, ServerState())
    connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for _ in range(20):
        loop.look()
    assert not transport.close.called


def test_what_has_asked_meanwhile_stays() -> None:
    loop = Loop()
    connection, transport = connected(loop, ServerState())
    for _ in range(5):
        connection.cycle = MagicMock(response_complete=True)
        loop.look()
    assert not transport.close.called
    connection.data_received(b"GET / HT")
    loop.look()
    assert transport.close.called


def test_one_too_many_is_not_kept() -> None:
    state, loop = ServerState(), Loop()
    transports = [connected(loop, state)[1] for _ in range(MOST_CONNECTIONS + 1)]
    assert [transport.abort.called for transport in transports] == [False] * MOST_CONNECTIONS + [True]
