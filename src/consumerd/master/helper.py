"""The store helper: executed when somebody looks at parked tasks, left alone while they do. Runs in the master.

The master speaks no SQL. One request at a time; a result is read page by page, as fast as who asked for it reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from consumerd import clock, events
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.facts import Fact
from consumerd.master.children import Children, End
from consumerd.master.host.launcher import Executed, Launcher
from consumerd.model.exits import described
from consumerd.wire.channel import Channel
from consumerd.wire.messages import STORE_HELPER, Message, Serve, StoreRequest, StoreResult

ANSWER_TIMEOUT_S = 30.0
IDLE_S = 10.0


class StoreHelper:
    """Asks the helper, and executes it when there is none. All failures are a ConsumerdError with one sentence."""

    def __init__(self, launcher: Launcher, children: Children, emit: Callable[[Fact], None], serve: Serve) -> None:
        self._launcher = launcher
        self._children = children
        self._emit = emit
        self._serve = serve
        self._executed: Executed | None = None
        self._turn = asyncio.Lock()
        self._leaves: asyncio.TimerHandle | None = None

    async def ask(self, request: StoreRequest) -> AsyncIterator[tuple[dict[str, object], ...]]:
        """The pages of one answer. One that is not read to its end costs the helper its life."""
        async with self._turn:
            is_whole = False
            try:
                async for result in self._results(request):
                    is_whole = result.is_last
                    if result.failed is not None:
                        raise (UsageError if result.is_misuse else ConsumerdError)(result.failed)
                    yield result.items
            finally:
                if is_whole:
                    self._leaves = asyncio.get_running_loop().call_later(IDLE_S, self.close)
                else:
                    self.close()

    def close(self) -> None:
        """End the helper. It holds nothing that it could lose: each request is one transaction."""
        self._let_go(self._children.end)

    def _let_go(self, end: Callable[[Executed], None]) -> None:
        if self._leaves is not None:
            self._leaves.cancel()
        executed, self._executed = self._executed, None
        if executed is not None:
            executed.channel.close()
            end(executed)

    async def _results(self, request: StoreRequest) -> AsyncIterator[StoreResult]:
        channel = self._channel()
        is_last = False
        try:
            await _send(channel, request)
            while not is_last:
                result = await _receive(channel)
                assert isinstance(result, StoreResult)
                is_last = result.is_last
                yield result
        except TimeoutError as error:
            raise ConsumerdError(
                f"the parking store did not answer within {ANSWER_TIMEOUT_S:g} s: try again"
            ) from error
        except OSError as error:
            self._let_go(self._children.kill)  # it ends, or must, and that is told
            raise ConsumerdError(f"the store helper ended while it was asked ({error}): its stderr says why") from error

    def _channel(self) -> Channel:
        if self._leaves is not None:
            self._leaves.cancel()
        if self._executed is not None and self._executed not in self._children:
            self.close()  # it has ended since
        if self._executed is None:
            try:
                self._executed = self._launcher.execute(STORE_HELPER)
            except OSError as error:
                raise ConsumerdError(f"the store helper cannot be executed: {error}") from error
            self._children.add(self._executed, self._tell_end)
            self._executed.channel.queue(self._serve)
        return self._executed.channel

    def _tell_end(self, end: End) -> None:
        """It has ended though nobody wanted that. A request that waits for it learns so by its channel."""
        self._emit(events.store_helper_ended(end=described(end.status), stderr=end.last_words[-1000:]))


async def _send(channel: Channel, message: Message) -> None:
    deadline = clock.monotonic() + ANSWER_TIMEOUT_S
    channel.queue(message)
    loop = asyncio.get_running_loop()
    while not channel.flush():
        await _ready(channel, deadline, loop.add_writer, loop.remove_writer)


async def _receive(channel: Channel) -> Message:
    deadline = clock.monotonic() + ANSWER_TIMEOUT_S
    loop = asyncio.get_running_loop()
    while (received := channel.take()) is None:
        if channel.is_at_end:
            raise ConnectionResetError("end of file")
        await _ready(channel, deadline, loop.add_reader, loop.remove_reader)
        channel.read_available()
    return received[0]


async def _ready(channel: Channel, deadline: float, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    """Wait until the channel can be read, or written. TimeoutError at the deadline."""
    fd = channel.fileno()
    if fd < 0:
        raise ConnectionResetError("closed")
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        async with asyncio.timeout(max(0.0, deadline - clock.monotonic())):
            await ready.wait()
    finally:
        with suppress(ValueError):
            remove(fd)
