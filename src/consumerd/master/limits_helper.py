"""The helper of limits: executed while a limit needs a database, its facts told, replaced when it dies.

Runs in the master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from consumerd import events
from consumerd.config.shape import Settings
from consumerd.errors import WireError
from consumerd.events.facts import Fact, Level
from consumerd.master.children import Children, End
from consumerd.master.host.launcher import Executed, Launcher
from consumerd.model.exits import described
from consumerd.wire.messages import LIMITS_HELPER, HelpLimits, Leave, Reported

PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
PROVEN_S = 60.0
LEAVES_IN_S = 3.0

Ask = Callable[[Settings], tuple[HelpLimits, int]]
"""What the helper is asked for, and the descriptor of the shared table."""


class LimitsHelper:
    """Has one helper run while anybody wants it."""

    def __init__(self, launcher: Launcher, children: Children, emit: Callable[[Fact], None], ask: Ask) -> None:
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
        """Have another one help with the limits of these settings, which has what this one had; None: have none."""
        if (executed := self._let_go()) is not None:
            self._children.end(executed)
        self._wanted = settings
        if settings is not None:
            self._execute(settings)

    async def leave(self) -> None:
        """No worker runs any more: other hosts may have our part, if that can be told them soon."""
        self._wanted = None
        if self._say_leave():
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVES_IN_S):
                    await self._is_at_end.wait()
        self._let_go()

    def _execute(self, settings: Settings) -> None:
        try:
            executed = self._executed = self._launcher.execute(LIMITS_HELPER)
        except OSError as error:
            self._emit(events.limits_helper_ended(end=f"it cannot be executed: {error}", stderr=""))
            self._execute_later()
            return
        asked, table_fd = self._ask(settings)
        self._is_at_end.clear()
        self._children.add(executed, self._ended)
        executed.channel.queue(asked, (table_fd,))
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
            self._emit(events.limits_helper_ended(end=described(end.status), stderr=end.last_words[-1000:]))
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
                self._emit(Fact(reported.name, Level(reported.level), reported.fields))
        if executed.channel.is_at_end:
            self._stop_listening(executed)
