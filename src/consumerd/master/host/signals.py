"""The master's signals: each makes a call in the event loop. Runs in the master."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def hearing(calls: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Within, each of these signals makes its call in the running loop; those that were held back until now, too.

    A SIGHUP that is ignored, by nohup perhaps, is to stay so.
    """
    loop, is_deaf_to_hangup = asyncio.get_running_loop(), signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [number for number in calls if not (is_deaf_to_hangup and number is signal.SIGHUP)]
    for number in heard:
        loop.add_signal_handler(number, calls[number])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, calls)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
