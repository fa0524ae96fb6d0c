"""The master's own process: made ready for its first child, and whom the service manager wants told.

Runs in the master. Imports nothing heavy.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from consumerd.model.slots import MOST_WORKERS

FDS_A_WORKER, FDS_BESIDE = 4, 256
_PR_SET_CHILD_SUBREAPER = 36
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True)
class ServiceSocket:
    """Where the service manager listens, by sd_notify(3): one datagram of lines `KEY=VALUE` each time.

    address: empty where there is none; watchdog_s: within which it must hear.
    """

    address: str = ""
    watchdog_s: float | None = None

    @classmethod
    def take_from(cls, environ: MutableMapping[str, str], pid: int) -> ServiceSocket:
        """As the variables say, which are taken out: they are the master's, not its children's."""
        address, watchdog, watched = (environ.pop(name, "") for name in VARIABLES)
        if not address.startswith(("/", "@")):
            return cls()
        is_watched = watchdog.isascii() and watchdog.isdigit() and int(watchdog) > 0 and watched in ("", str(pid))
        return cls(address, int(watchdog) / 1e6 if is_watched else None)

    def send(self, text: str) -> None:
        """Send one datagram, without waiting; OSError where nobody takes it."""
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            sock.sendto(text.encode("utf-8", "replace"), address)


def make_ready() -> ServiceSocket:
    """Once, before anything is executed; whom the service manager wants told. OSError where the kernel refuses."""
    _become_subreaper()
    _raise_open_files()
    return ServiceSocket.take_from(os.environ, os.getpid())


def _become_subreaper() -> None:
    """Workers whose zygote dies become our children: we reap them, nobody else does."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let the master adopt its workers")


def _raise_open_files() -> None:
    """Make room for the descriptors of as many workers as a pool may be scaled to, as far as the hard limit lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MOST_WORKERS * FDS_A_WORKER + FDS_BESIDE
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
