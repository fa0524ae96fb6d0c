"""Ports of the loopback interface for the servers."""

import contextlib
import random
import socket
from pathlib import Path

_LOWEST = 12_000
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200


def free_port() -> int:
    """A port that nobody listens on, below the range from which the kernel numbers outgoing connections.

    From inside that range a client that retries a stopped server would in the end be given the server's port as its
    own, connect to itself, and keep the server from coming back.
    """
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, _first_ephemeral_port())
        if _is_free(port):
            return port
    raise RuntimeError(f"none of {_TRIES} ports tried from {_LOWEST} up is free")


def is_open(port: int) -> bool:
    """Whether something listens on this port of the loopback interface."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _first_ephemeral_port() -> int:
    if not _EPHEMERAL_RANGE.exists():
        return 32_768
    first = int(_EPHEMERAL_RANGE.read_text().split()[0])
    return first if first > _LOWEST + _TRIES else 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
