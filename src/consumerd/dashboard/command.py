"""`consumerd dashboard`: the page in the foreground, for a master that runs without `[consumerd.dashboard]`."""

from __future__ import annotations

import secrets
import signal
import threading
from ipaddress import ip_address

import click

from consumerd.cli.options import state_dir_option
from consumerd.errors import MissingExtraError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.status import ask_status


@click.command()
@click.option("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="Port 0, by default: any that is free.")
@state_dir_option
def command(listen: str, state_dir: StateDirectory) -> int:
    """Show the page of a running master in the browser, until Ctrl-C.

    It prints an address that signs in one browser, once, as operator. Who is on this machine may look without it.
    """
    try:
        from consumerd.dashboard.master import Master
        from consumerd.dashboard.memory import Memory
        from consumerd.dashboard.serving import access_of, checked, listening_at, serving
    except ImportError as error:
        raise MissingExtraError("The page", "web") from error
    settings = checked(listen)
    ask_status(state_dir.control_socket)  # NotRunningError, before anybody opens the page
    key = secrets.token_urlsafe(24)
    listening = listening_at(listen)
    address = address_of(*listening.getsockname()[:2])
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    access = access_of(settings, state_dir.path, one_time=key)
    with serving(settings, access, Master(state_dir.control_socket), Memory(), listening):
        click.echo(f"{address}/sign-in?key={key}")
        click.echo("Open it to sign in, once. Ctrl-C ends the page; the master runs on.", err=True)
        click.echo("Its charts begin now: with a table [consumerd.dashboard] the page has the last hour.", err=True)
        done.wait()
    return 0


def address_of(host: str, port: int) -> str:
    """What a browser on this machine can open, where it listens there; at every address: loopback."""
    if ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
