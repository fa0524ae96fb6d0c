"""Threads for what blocks: a few for each use, so that who waits in one of them holds up none of another use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from consumerd.errors import ConsumerdError

P = ParamSpec("P")
T = TypeVar("T")


class BusyError(ConsumerdError):
    """All threads are taken, and so is the room to wait for one; the message says so."""


class Threads:
    """So many threads, and room for so many calls that wait for one of them.

    use: what they do, as a sentence has it: "searches go on".
    """

    def __init__(self, use: str, threads: int, most_waiting: int) -> None:
        self._use = use
        self._most = threads + most_waiting
        self._room = threading.Semaphore(self._most)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=use.partition(" ")[0])

    async def run(self, call: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """What it returns, or raises. BusyError where there is no room; its place is its own until it has ended."""
        if not self._room.acquire(blocking=False):
            raise BusyError(f"{self._most} {self._use} already, and no more may: try again in a few seconds")
        future = self._executor.submit(call, *args, **keywords)
        future.add_done_callback(lambda ended: self._room.release())
        return await asyncio.wrap_future(future)
