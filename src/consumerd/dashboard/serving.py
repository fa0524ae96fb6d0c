"""Listens, and answers in a thread, until somebody has had enough."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette

from consumerd.config.dashboard import DashboardSettings
from consumerd.config.secrets import Resolver
from consumerd.dashboard.access.connections import KEPT_S, BoundedConnection
from consumerd.dashboard.access.origin import is_loopback
from consumerd.dashboard.access.sessions import Access, Role
from consumerd.dashboard.app import Reached, make_app
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Memory
from consumerd.errors import UsageError

BACKLOG = 64
LEAVES_IN_S = 1.0


def checked(listen: str) -> DashboardSettings:
    """Settings that listen there, and have no token. UsageError where it is no `host:port`."""
    try:
        return DashboardSettings(listen=listen)
    except ValidationError as error:
        raise UsageError(f"--listen is host:port, and is {listen!r}") from error


def host_of(listen: str) -> str:
    """Of `host:port`."""
    return listen.rpartition(":")[0].strip("[]")


def access_of(settings: DashboardSettings, directory: Path, *, one_time: str = "") -> Access:
    """Who may do what, by the settings. one_time: a key that signs one operator in. UsageError."""
    written = {Role.READ_ONLY: settings.read_only_token, Role.OPERATOR: settings.operator_token}
    tokens = {role: _resolved(token, directory) for role, token in written.items() if token is not None}
    is_open = not tokens and is_loopback(host_of(settings.listen))
    return Access(tokens, open_to=Role.READ_ONLY if is_open else Role.NOBODY, one_time=one_time)


def _resolved(token: str, directory: Path) -> str:
    found = Resolver(os.environ, directory).resolve(token)
    for _, failure in found.failures:
        raise UsageError(f"a token of [consumerd.dashboard]: {failure}")
    return str(found.value)


def server_config(app: Starlette, settings: DashboardSettings) -> uvicorn.Config:
    """How it is served. Only `proxies` are believed for whom they speak, whatever the environment says."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        http=BoundedConnection,
        timeout_keep_alive=KEPT_S,
        timeout_graceful_shutdown=1,
    )


@contextmanager
def serving(
    settings: DashboardSettings, access: Access, master: Master, memory: Memory, listening: socket.socket
) -> Iterator[None]:
    """Answer, as long as this lasts."""
    cookie = f"consumerd-{listening.getsockname()[1]}"
    reached = Reached(access, tuple(settings.hosts), is_loopback(host_of(settings.listen)), cookie)
    server = uvicorn.Server(server_config(make_app(master, memory, reached), settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(LEAVES_IN_S)


def listening_at(listen: str, advice: str = "choose another") -> socket.socket:
    """A socket that listens there. UsageError."""
    try:
        found = socket.getaddrinfo(
            host_of(listen), int(listen.rpartition(":")[2]), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise UsageError(f"nobody can listen at {listen} ({_why(error)}): {advice}") from error


def _why(error: OSError | OverflowError) -> str:
    """In the system's words alone: Python's hold the address once more."""
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)
    return str(error)
