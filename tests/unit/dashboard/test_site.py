"""What browsers are answered, without a server."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from consumerd.dashboard.access.sessions import Access
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Act, Ask, Form
from consumerd.dashboard.site import Site
from consumerd.dashboard.watch import Watch
from consumerd.testing.clock import ManualClock
from unit.dashboard.test_threads import held
from unit.dashboard.test_watch import Asked, run

ROOM = 12
"""So many acts are done, or wait for a thread."""

COOKIE = "consumerd-1"


def posted(cookie: str, csrf: str) -> Request:
    """A form, as the script sends it."""
    headers = {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
        "cookie": f"{COOKIE}={cookie}",
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": urlencode({"csrf": csrf}).encode(), "more_body": False}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}, receive)


def test_an_act_for_which_there_is_no_room_is_refused_and_not_done() -> None:
    async def act() -> None:
        access = Access({}, one_time="key")
        cookie = access.sign_in_once("key")
        assert cookie is not None
        asked = Asked(ManualClock())
        master, watch = Master(Path("/nowhere/control.sock")), Watch(asked, clock=asked.clock)
        site = Site(master, watch, Memory(), access, names=(), is_local=True, cookie=COOKIE)
        with held() as going_on:
            begun = threading.Semaphore(0)

            def do(form: Form, ask: Ask) -> list[str]:
                begun.release()
                going_on.wait()
                return ["done"]

            answer, csrf = site._act(Act("slow", do)), access.session(cookie).csrf
            acts = [asyncio.create_task(_answered(answer(posted(cookie, csrf)))) for _ in range(ROOM)]
            await asyncio.to_thread(begun.acquire)
            await asyncio.sleep(0)
            refused = await answer(posted(cookie, csrf))
            ((kind, sentence),) = json.loads(bytes(refused.body))["told"]
            assert (refused.status_code, kind) == (503, "bad")
            assert sentence.endswith("try again in a few seconds; nothing was done")
            going_on.set()
            assert await asyncio.gather(*acts) == [{"told": [["good", "done"]]}] * ROOM

    run(act())


async def _answered(answer: Any) -> Any:
    return json.loads((await answer).body)
