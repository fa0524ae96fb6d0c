"""What an executed process has from its parent: a channel's end, signals to ignore, its life."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Sequence
from typing import TypeVar

from consumerd.errors import UsageError, WireError
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Message

MessageT = TypeVar("MessageT", bound=Message)

ZYGOTE_MODULE = "consumerd.worker.zygote"
EXECUTION_MODULE = "consumerd.worker.execution"
"""Becomes a zygote with the environment, directory, user and priority that the entry names."""

IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A terminal and a service manager send them to everyone; the master alone says what they mean."""

_PR_SET_PDEATHSIG = 1


def ignore_signals() -> None:
    """Ignore what the master alone is to hear, also where a signal was held back for it."""
    for ignored in IGNORED_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)


def inherited_channel(arguments: Sequence[str]) -> Channel:
    """The channel whose descriptor is the only argument; closed to whatever this process executes."""
    try:
        (text,) = arguments
        sock = socket.socket(fileno=int(text))
    except (ValueError, OSError) as error:
        raise UsageError("this module is executed by consumerd itself: use consumerd run") from error
    os.set_inheritable(sock.fileno(), False)
    return Channel(sock)


def first_message(channel: Channel, kind: type[MessageT]) -> tuple[MessageT, tuple[int, ...]]:
    """The next message of the parent, which is of this kind, and its descriptors.

    ConnectionResetError where the parent is gone.
    """
    received = channel.receive()
    if received is None:
        raise ConnectionResetError("the parent is gone")
    message, fds = received
    if not isinstance(message, kind):
        raise WireError(f"a process was sent {type(message).__name__} where {kind.__name__} comes")
    return message, fds


def die_with_parent(is_wanted: bool) -> None:
    """Have the kernel kill this process when the thread that executed it ends, or no longer.

    For the time in which user code is imported: it may hang, and nothing else here would notice the parent's death.
    Whoever calls this looks at its channel afterwards: the parent may be gone already.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL if is_wanted else 0, 0, 0, 0)
