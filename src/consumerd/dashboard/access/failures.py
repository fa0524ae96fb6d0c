"""What nobody has thought of: a sentence for whoever asked, and a line for the log."""

from __future__ import annotations

import sys
import traceback

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SENTENCE = "This could not be answered, for an error of consumerd's, which its log has.\n"


class Failures:
    """Answers 500 where an application raises. An answer that has begun ends where it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001 - of any kind, which the log has
            sys.stderr.write(_line(scope, error))
            if not has_begun:
                await PlainTextResponse(SENTENCE, 500)(scope, receive, send)


def _line(scope: Scope, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    asked = f"{scope['method']} {scope['path'][:200]!r}"
    said = ascii(str(error)[:500])
    return f"consumerd: {asked} failed: {type(error).__name__}: {said} ({last.filename}:{last.lineno})\n"
