"""Who waits in a thread holds up none of another use, and there is an end to how many wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from consumerd.dashboard.app import probes
from consumerd.dashboard.threads import BusyError, Threads
from consumerd.dashboard.watch import Watch
from unit.dashboard.test_watch import Asked, ManualClock, run


@contextmanager
def held() -> Iterator[threading.Event]:
    """What a call waits for; at the end it may go on, however the test has ended."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def test_more_than_there_is_room_for_are_refused_with_a_sentence_until_one_has_ended() -> None:
    async def fill() -> None:
        with held() as going_on:
            threads = Threads("searches go on", 1, 1)
            both = [asyncio.create_task(threads.run(going_on.wait)) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(BusyError, match="2 searches go on already, and no more may: try again in a few sec"):
                await threads.run(going_on.wait)
            going_on.set()
            assert await asyncio.gather(*both) == [True, True]
            assert await threads.run(sum, [1, 2]) == 3

    run(fill())


def test_who_is_not_waited_for_any_more_keeps_the_place_until_it_has_ended() -> None:
    async def leave() -> None:
        with held() as going_on:
            threads, begun = Threads("searches go on", 1, 0), threading.Event()

            def search() -> None:
                begun.set()
                going_on.wait()

            left = asyncio.create_task(threads.run(search))
            await asyncio.to_thread(begun.wait)
            left.cancel()
            with pytest.raises(asyncio.CancelledError):
                await left
            with pytest.raises(BusyError):
                await threads.run(sum, [1])

    run(leave())


def test_probes_are_answered_while_all_threads_of_the_loop_wait() -> None:
    async def probe() -> None:
        with held() as going_on:
            others = [asyncio.create_task(asyncio.to_thread(going_on.wait)) for _ in range(64)]
            asked = Asked(ManualClock())
            routes = {route.path: route.endpoint for route in probes(Watch(asked, clock=asked.clock))}
            assert (await routes["/livez"](None)).body == b'{"pid":1}'
            assert (await routes["/metrics"](None)).status_code == 200
            going_on.set()
            await asyncio.gather(*others)

    run(probe())
