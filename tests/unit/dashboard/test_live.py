"""Pages as they are made for those who look."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.live import Live, Wanted
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Context, Page, Visit
from consumerd.dashboard.threads import BusyError
from consumerd.dashboard.view.rendering import Renderer
from consumerd.dashboard.watch import Watch
from consumerd.testing.clock import ManualClock
from unit.dashboard.test_threads import held
from unit.dashboard.test_watch import Asked, run

ROOM = 8
"""So many searches go on, or wait for a thread."""


def live_of(watch: Watch, memory: Memory | None = None) -> Live:
    renderer = Renderer(dict.fromkeys(("icon.svg", "page.css", "page.js"), "/"), [], has_tokens=False)
    return Live(watch, memory or Memory(), renderer, Master(Path("/nowhere/control.sock")))


def wanted(page: Page, **query: str) -> Wanted:
    return Wanted(page, Role.READ_ONLY, (), tuple(query.items()))


def test_searches_that_wait_hold_up_no_page_and_one_too_many_is_refused() -> None:
    async def look() -> None:
        with held() as going_on:
            begun = threading.Semaphore(0)

            def search(visit: Visit) -> Context:
                begun.release()
                going_on.wait()
                return {"entries": []}

            asked = Asked(ManualClock())
            live = live_of(Watch(asked, clock=asked.clock))
            slow = wanted(Page("/slow", "Slow", "audit.html", search, is_live=False))
            searches = [asyncio.create_task(live.page(slow)) for _ in range(ROOM)]
            await asyncio.to_thread(begun.acquire)
            with pytest.raises(BusyError, match="try again in a few seconds"):
                await live.page(slow)
            quick = Page("/quick", "Quick", "audit.html", lambda visit: {"entries": []})
            assert "Audit" in (await live.page(wanted(quick))).html
            going_on.set()
            assert len(await asyncio.gather(*searches)) == ROOM

    run(look())


def test_a_page_says_why_no_events_come() -> None:
    async def look() -> None:
        asked, memory = Asked(ManualClock()), Memory()
        page = wanted(Page("/quick", "Quick", "audit.html", lambda visit: {"entries": []}))
        memory.why_still = "16 follow already"
        live = live_of(Watch(asked, clock=asked.clock), memory)
        assert "<b>No events come.</b> 16 follow already." in (await live.page(page)).parts["away"]
        memory.why_still = ""
        asked.clock.advance(1.0)
        assert "No events" not in (await live.page(page)).html

    run(look())
