"""What the server is told: whose word is believed, and how much it bears."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consumerd.config.dashboard import DashboardSettings
from consumerd.dashboard.serving import server_config


async def show_address(request: Request) -> Response:
    return PlainTextResponse("" if request.client is None else request.client.host)


def address_seen(settings: DashboardSettings, peer: str) -> str:
    """Of a request from `peer`, which says that it speaks for 9.9.9.9."""
    config = server_config(Starlette(routes=[Route("/", show_address)]), settings)
    config.load()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "root_path": "",
        "query_string": b"",
        "client": (peer, 1),
        "server": ("127.0.0.1", 2),
        "headers": [(b"host", b"localhost"), (b"x-forwarded-for", b"9.9.9.9")],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(config.loaded_app(scope, receive, send))
    return b"".join(message.get("body", b"") for message in sent).decode()


@pytest.mark.parametrize(
    ("proxies", "peer", "seen"),
    [
        ([], "127.0.0.1", "127.0.0.1"),
        (["127.0.0.1"], "127.0.0.1", "9.9.9.9"),
        (["10.1.0.0/16"], "10.1.2.3", "9.9.9.9"),
        (["10.1.0.0/16"], "127.0.0.1", "127.0.0.1"),
    ],
)
def test_only_proxies_are_believed_for_whom_they_speak(
    proxies: list[str], peer: str, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert address_seen(DashboardSettings(proxies=proxies), peer) == seen


@pytest.mark.parametrize("proxy", ["*", "proxy.example.org", "10.1.2.3/8", ""])
def test_a_proxy_is_an_address_or_a_network(proxy: str) -> None:
    with pytest.raises(ValidationError):
        DashboardSettings(proxies=[proxy])
