"""Asks an application as a server does, without one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp

FORM = {"content-type": "application/x-www-form-urlencoded"}


def answered(
    app: ASGIApp,
    path: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    query: str = "",
) -> tuple[int, str]:
    """The status and the text of an answer. body: of a form, in two pieces."""
    given = {"host": "localhost", **({} if headers is None else headers)}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    whole = body or b""
    pieces = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        await app(scope, receive, send)

    asyncio.run(ask())
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent).decode()
