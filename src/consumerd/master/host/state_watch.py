"""Whether the state directory and its control socket still are this master's. Runs in the master.

Both can be removed, or replaced, while it runs: by hand, by a deploy, by what tidies up /tmp. Without its socket nobody
reaches the master, and without its lock another one would start beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consumerd import events
from consumerd.errors import StateDirectoryError
from consumerd.events.facts import Fact
from consumerd.state.locks import HeldError, MasterLock

LOOK_S = 5.0


@dataclass
class StateWatch:
    """Looks every few seconds, and makes anew what is gone.

    listen_again: makes the control socket anew where it is gone; whether it was.
    restore: writes what a new directory has to have, OSError where that fails. give_up: told that another master has
    the directory, and which.
    """

    lock: MasterLock
    listen_again: Callable[[], Awaitable[bool]]
    emit: Callable[[Fact], None]
    restore: Callable[[], None]
    give_up: Callable[[str], None]
    _is_lost: bool = False
    _is_bare: bool = False

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once. What cannot be made anew is told once, and tried again at the next look."""
        try:
            if not self.lock.is_in_place:
                self._make_directory()
            if self._is_bare:
                self._fill_directory()
            if await self.listen_again():
                self.emit(events.control_socket_made(socket=str(self.lock.directory.control_socket)))
        except HeldError as error:
            self.give_up(f"its state directory was replaced: {error}")
        except (StateDirectoryError, OSError) as error:
            if not self._is_lost:
                self.emit(events.state_directory_lost(error=str(error)))
            self._is_lost = True
        else:
            self._is_lost = False

    def _make_directory(self) -> None:
        self.lock.directory.prepare()
        self.lock.take_again()
        self._is_bare = True

    def _fill_directory(self) -> None:
        self.restore()
        self._is_bare = False
        advice = "it was removed: what was kept in it, as tasks that were parked there, is gone with it"
        self.emit(events.state_directory_made(state_dir=str(self.lock.directory.path), advice=advice))
