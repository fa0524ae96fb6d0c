"""A process of the master's that is executed while the settings ask for it, and replaced when it dies: the helper of
limits, and what answers HTTP. Its facts are told. Runs in the master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from consumerd.config.shape import Settings
from consumerd.errors import WireError
from consumerd.events.facts import Fact, Level
from consumerd.master.children import Children, End
from consumerd.master.host.launcher import Executed, Launcher
from consumerd.model.exits import described
from consumerd.wire.messages import Leave, Message, Reported

PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
PROVEN_S = 60.0
LEAVES_IN_S = 3.0

Ask = Callable[[Settings], tuple[Message, tuple[int, ...]]]
"""What it is asked for, with descriptors."""


class Ended(Protocol):
    """What is told of an end that nobody wanted: how it ended, and what it wrote to stderr last."""

    def __call__(self, *, end: str, stderr: str) -> Fact: ...


class KeptChild:
    """Has one such process run while anybody wants it."""

    def __init__(
        self,
        module: str,
        launcher: Launcher,
        children: Children,
        emit: Callable[[Fact], None],
        ask: Ask,
        ended: Ended,
    ) -> None:
        """module: what is executed.

        trouble: why it does not run, though it is wanted; empty once it has told anything since.
        """
        self.trouble = ""
        self._module = module
        self._told_of_end = ended
        self._launcher = launcher
        self._children = children
        self._emit = emit
        self._ask = ask
        self._wanted: Settings | None = None
        self._executed: Executed | None = None
        self._pause_s = PAUSE_S
        self._again: asyncio.TimerHandle | None = None
        self._is_at_end = asyncio.Event()

    def want(self, settings: Settings | None) -> None:
        """Have another one, for these settings, which has what this one had; None: have none."""
        if (executed := self._let_go()) is not None:
            self._children.end(executed)
        self._wanted, self.trouble = settings, ""
        if settings is not None:
            self._execute(settings)

    async def leave(self) -> None:
        """No worker runs any more: it may do what it has to do at the end, if that can be done soon."""
        self._wanted = None
        if self._say_leave():
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVES_IN_S):
                    await self._is_at_end.wait()
        self._let_go()

    def _execute(self, settings: Settings) -> None:
        try:
            executed = self._executed = self._launcher.execute(self._module)
        except OSError as error:
            self.trouble = f"it cannot be executed: {error}"
            self._emit(self._told_of_end(end=self.trouble, stderr=""))
            self._execute_later()
            return
        asked, fds = self._ask(settings)
        self._is_at_end.clear()
        self._children.add(executed, self._ended)
        executed.channel.queue(asked, fds)
        asyncio.get_running_loop().add_reader(executed.channel.fileno(), self._read, executed)
        self._flush(executed)

    def _execute_later(self) -> None:
        self._again = asyncio.get_running_loop().call_later(self._pause_s, self._execute_again)
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)

    def _execute_again(self) -> None:
        if self._wanted is not None and self._executed is None:
            self._execute(self._wanted)

    def _ended(self, end: End) -> None:
        self._let_go()
        if end.took_s > PROVEN_S:
            self._pause_s = PAUSE_S
        if self._wanted is not None:
            self.trouble = why_ended(end)
            self._emit(self._told_of_end(end=described(end.status), stderr=end.last_words[-1000:]))
            self._execute_later()

    def _say_leave(self) -> bool:
        """Whether there is one that was told to."""
        if self._executed is not None:
            self._executed.channel.queue(Leave())
            self._flush(self._executed)
        return self._executed is not None

    def _let_go(self) -> Executed | None:
        if self._again is not None:
            self._again.cancel()
        executed, self._executed = self._executed, None
        if executed is not None:
            self._stop_listening(executed)
            executed.channel.close()
        return executed

    def _stop_listening(self, executed: Executed) -> None:
        loop, fd = asyncio.get_running_loop(), executed.channel.fileno()
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        self._is_at_end.set()

    def _flush(self, executed: Executed) -> None:
        loop, fd = asyncio.get_running_loop(), executed.channel.fileno()
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended, which is told
            if not executed.channel.flush():
                loop.add_writer(fd, self._flush, executed)
                return
        loop.remove_writer(fd)

    def _read(self, executed: Executed) -> None:
        try:
            executed.channel.read_available()
        except WireError:
            self._children.kill(executed)  # its end is told
            self._stop_listening(executed)
            return
        while (received := executed.channel.take()) is not None:
            if isinstance(reported := received[0], Reported):
                self.trouble = ""
                self._emit(Fact(reported.name, Level(reported.level), reported.fields))
        if executed.channel.is_at_end:
            self._stop_listening(executed)


def why_ended(end: End) -> str:
    """What it wrote last, where it wrote anything; else how it ended. Pure."""
    lines = end.last_words.strip().splitlines()
    return lines[-1].removeprefix("consumerd: ") if lines else described(end.status)
