"""Reading the configuration anew while everything runs: by a verb, by SIGHUP, or as its file changes.

Runs in the master. Reading may take long (an object is read in a child process, a file may lie far away), so a thread
does it, which nobody waits for at the end; one at a time. A configuration that is not valid changes nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from consumerd import events
from consumerd.config.documents import UnreadableError, file_content
from consumerd.config.shape import Document
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact
from consumerd.master.control.configuration import Configuration, Differences

Read = TypeVar("Read")

LOOK_S = 2.0
"""How often a watched file is read; it is reloaded when two readings in a row agree, and differ from what runs."""


class Reloader:
    """Reloads into `configuration`. Everything runs in the loop's thread but the reading."""

    def __init__(
        self,
        configuration: Configuration,
        read: Callable[[], Document],
        emit: Callable[[Fact], None],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """read: reads the configuration; it may take long, and runs in a thread. around: is entered for each reload
        that is not dry.
        """
        self._configuration = configuration
        self._read = read
        self._around = around
        self._emit = emit
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def reload(self, *, is_dry: bool = False) -> Differences:
        """What changes. ConfigurationError with one line for each mistake, and then nothing has changed."""
        async with self._turn:
            with nullcontext() if is_dry else self._around():
                document = await _aside(self._read)
                return self._configuration.reload(document, is_dry=is_dry)

    async def reload_for(self, reason: str) -> Differences:
        """Reload; where that is refused, raise it, and tell so in the log: what runs is older than the file."""
        try:
            return await self.reload()
        except Exception as error:
            text = str(error) if isinstance(error, ConsumerdError) else f"{type(error).__name__}: {error}"
            self._emit(events.reload_refused(reason=reason, error=text, then="everything runs on as it was"))
            raise

    def reload_soon(self, reason: str) -> None:
        """Reload, and tell in the log what becomes of it."""
        self._start(self._reload_and_tell(reason))

    def watch(self, file: Path) -> None:
        """Reload whenever the file has changed."""
        self._start(self._watch(file))

    async def close(self) -> None:
        """Stop watching and reloading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_and_tell(self, reason: str) -> None:
        with suppress(Exception):  # the top of a task; it is told of
            await self.reload_for(reason)

    async def _watch(self, file: Path) -> None:
        running = previous = await _aside(lambda: _content(file))
        if await self._differs():
            await self._reload_and_tell(f"{file} has changed since it was read")
        while True:
            await asyncio.sleep(LOOK_S)
            now = await _aside(lambda: _content(file))
            if now == previous and now != running and now is not None:
                running = now
                await self._reload_and_tell(f"{file} has changed")
            previous = now

    async def _differs(self) -> bool:
        """Whether the configuration is another one now than what runs, or is not valid any more."""
        try:
            found = await self.reload(is_dry=True)
        except Exception:  # noqa: BLE001 - the reload that follows tells of it
            return True
        return bool(found.changes or found.settings)


async def _aside(read: Callable[[], Read]) -> Read:
    """What `read` returns or raises, in a thread that ends with the process: one that hangs holds up no stop."""
    answer: Future[Read] = Future()
    answer.set_running_or_notify_cancel()  # whoever awaits it may go, and the thread goes on

    def run() -> None:
        try:
            answer.set_result(read())
        except Exception as error:  # noqa: BLE001 - the top of a thread: it is raised where the answer is awaited
            answer.set_exception(error)

    threading.Thread(target=run, name="reading", daemon=True).start()
    return await asyncio.wrap_future(answer)


def _content(file: Path) -> bytes | None:
    """None while there is no such file, or none that can be read: an editor may be replacing it."""
    try:
        return file_content(file)
    except UnreadableError:
        return None
