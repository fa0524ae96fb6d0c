"""Waiting for events, and for the end of processes: the one place in the tests that sleeps."""

import signal
import time
from collections.abc import Callable
from typing import TypeVar

_POLL_S = 0.01

Result = TypeVar("Result")


def wait_until(condition: Callable[[], Result], deadline_s: float, message: str | Callable[[], str]) -> Result:
    """The first true result of `condition`, which is asked every 10 ms.

    `message` says what was waited for; as a callable it is asked at the end, so that it can tell how things stood.
    Raises TimeoutError with it after `deadline_s`; what `condition` raises ends the wait.
    """
    deadline = time.monotonic() + deadline_s
    while not (result := condition()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{message() if callable(message) else message} (waited {deadline_s:g} s)")
        time.sleep(_POLL_S)
    return result


def has_ended(pidfd: int) -> bool:
    """Whether the process behind a pidfd is gone, and reaped."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return True
    return False
