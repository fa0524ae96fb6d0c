"""Reading the configuration anew while everything runs: by a verb, by SIGHUP, or as its file changes.

Runs in the master. Reading may take long (an object is read in a child process), so a thread does it; one at a time.
A configuration that is not valid changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact, Level
from consumerd.master.operations import Operations, Plain

LOOK_S = 2.0
"""How often a watched file is read; it is reloaded when two readings in a row agree, and differ from what runs."""


class Reloading:
    """Reloads into `operations`. Everything runs in the loop's thread but the reading."""

    def __init__(self, operations: Operations, emit: Callable[[Fact], None]) -> None:
        self._operations = operations
        self._emit = emit
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def reload(self, *, is_dry: bool = False) -> Plain:
        """What changes. ConfigurationError with one line for each mistake, and then nothing has changed."""
        async with self._turn:
            document = await asyncio.to_thread(self._operations.configuration.read)
            return self._operations.reload(document, is_dry=is_dry)

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
        try:
            await self.reload()
        except ConsumerdError as error:
            fields: Plain = {"reason": reason, "error": str(error), "then": "everything runs on as it was"}
            self._emit(Fact("reload_refused", Level.ERROR, fields))

    async def _watch(self, file: Path) -> None:
        running = previous = _content(file)
        while True:
            await asyncio.sleep(LOOK_S)
            now = _content(file)
            if now == previous and now != running and now is not None:
                running = now
                await self._reload_and_tell(f"{file} has changed")
            previous = now


def _content(file: Path) -> bytes | None:
    """None while there is no such file, or none that can be read: an editor may be replacing it."""
    try:
        return file.read_bytes()
    except OSError:
        return None
