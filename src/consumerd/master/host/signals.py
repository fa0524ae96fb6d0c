"""The master's signals: recorded, and the loop woken; what they mean is the turn's to say. Runs in the master."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """Signals that have come and that no turn has looked at yet."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake
        self._came: list[signal.Signals] = []
        is_deaf_to_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup: it is to stay so
        self._heard = [number for number in HEARD if not (is_deaf_to_hangup and number is signal.SIGHUP)]

    def listen(self) -> None:
        """Hear signals from now on; those that were held back until now, too."""
        for number in self._heard:
            self._loop.add_signal_handler(number, self._record, number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)

    def close(self) -> None:
        for number in self._heard:
            self._loop.remove_signal_handler(number)

    def take(self) -> list[signal.Signals]:
        """What has come since the last call, in order."""
        came, self._came = self._came, []
        return came

    def _record(self, number: signal.Signals) -> None:
        self._came.append(number)
        self._wake()
