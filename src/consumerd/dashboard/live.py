"""Pages as they are now, rendered once for all who look at the same, and the parts of them that change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.page import Page, Visit
from consumerd.dashboard.shared import Shared
from consumerd.dashboard.threads import Threads
from consumerd.dashboard.view.rendering import Rendered, Renderer
from consumerd.dashboard.watch import Seen, Watch
from consumerd.errors import ConsumerdError

BEAT_S = 1.5
"""A stream says something so often at least: whoever hears nothing knows that what they see is old."""


@dataclass(frozen=True)
class Wanted:
    """Which page somebody looks at."""

    page: Page
    role: Role
    parameters: tuple[tuple[str, str], ...]
    query: tuple[tuple[str, str], ...]


class Live:
    """Renders pages. In the event loop's thread, but what asks the master, or renders."""

    def __init__(self, watch: Watch, memory: Memory, renderer: Renderer, master: Master) -> None:
        self._watch = watch
        self._memory = memory
        self._renderer = renderer
        self._master = master
        self._shared = Shared(master.answer)
        self._renders = Threads("pages are made", 4, 200)
        self._searches = Threads("searches go on", 4, 4)
        self._made: dict[tuple[Wanted, int], asyncio.Task[Rendered]] = {}
        self.streams = 0

    def ask_again(self) -> None:
        """Something was changed: what is known is old."""
        self._shared.forget()
        self._watch.ask_again()

    async def page(self, wanted: Wanted) -> Rendered:
        """As it is now. NotThereError; BusyError; ConsumerdError where it asks the master, which does not answer."""
        with self._watch.looking():
            seen = await self._watch.fresh()
            if wanted.page.is_live:
                return await self._rendered(wanted, seen)
            return await self._searches.run(self._render, wanted, seen)  # what a form has just changed is in it

    async def changes(self, wanted: Wanted, may_look: Callable[[], bool]) -> AsyncIterator[str]:
        """Events of a stream: the parts of a page as they change, for as long as somebody reads them, and may."""
        sent: dict[str, str] = {}
        number = -1
        self.streams += 1
        try:
            with self._watch.looking():
                while may_look():
                    seen = await self._watch.after(number, BEAT_S)
                    if seen.number == number:
                        yield _event({"stale": self._watch.why_old()})
                        continue
                    number = seen.number
                    yield await self._change(wanted, seen, sent)
        finally:
            self.streams -= 1

    async def _change(self, wanted: Wanted, seen: Seen, sent: dict[str, str]) -> str:
        """What differs from what was sent, which is noted there."""
        try:
            parts = (await self._rendered(wanted, seen)).parts
        except ConsumerdError as error:
            return _event({"stale": seen.error or str(error)})
        if sent and sent.keys() != parts.keys():
            sent.clear()
            sent.update(parts)
            return _event({"stale": seen.error, "is_another": True})
        changed = {own_id: html for own_id, html in parts.items() if sent.get(own_id) != html}
        sent.update(parts)
        return _event({"stale": seen.error, "parts": changed})

    async def _rendered(self, wanted: Wanted, seen: Seen) -> Rendered:
        key = (wanted, seen.number)
        if key not in self._made:
            self._made = {each: task for each, task in self._made.items() if each[1] == seen.number}
            self._made[key] = asyncio.create_task(self._renders.run(self._render, wanted, seen))
        return await asyncio.shield(self._made[key])

    def _render(self, wanted: Wanted, seen: Seen) -> Rendered:
        page, parameters, query = wanted.page, dict(wanted.parameters), dict(wanted.query)
        own, kept = self._shared.answer if page.is_live else self._master.answer, self._shared.kept
        state_dir = self._master.control_socket.parent
        visit = Visit(seen, self._memory, wanted.role, own, kept, state_dir, parameters, query)
        context = {"page": page, "seen": seen, "still": self._memory.why_still, "role": wanted.role, "query": query}
        return self._renderer.render(page.template, {**context, **page.show(visit)})


def _event(plain: dict[str, object]) -> str:
    return f"data: {json.dumps(plain)}\n\n"
