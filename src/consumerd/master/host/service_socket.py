"""The socket of the service manager, by sd_notify(3): one datagram of lines `KEY=VALUE` to where NOTIFY_SOCKET names.

Runs in the master. Where it names none, there is nobody to be told.
"""

from __future__ import annotations

import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True)
class ServiceSocket:
    """Where the service manager listens. address: empty where there is none; watchdog_s: within which it must hear."""

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
