"""`consumerd run CONFIG`: start the master in the foreground."""

from __future__ import annotations

import contextlib
import gc
import signal

import click

from consumerd.cli.options import chosen_state_dir_option
from consumerd.master.host.launcher import Launcher
from consumerd.master.host.own_process import make_ready
from consumerd.state.working_directory import working_directory
from consumerd.wire.inherited import ZYGOTE_MODULE

WITHOUT_MEANING = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
"""Signals that other programs take for a request, such as to reopen their log. They must not end the master."""


@click.command()
@click.argument("config", metavar="CONFIG")
@click.option(
    "--parking",
    metavar="embedded|URL",
    help="Where failed tasks are kept: the embedded store of the state directory, or a database; overrides CONFIG.",
)
@chosen_state_dir_option
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    help="JSON for machines, or lines for people; overrides CONFIG.",
)
def command(config: str, parking: str | None, state_dir: str | None, log_format: str | None) -> int:
    """Start the master in the foreground: systemd, Kubernetes and people all use this.

    SIGTERM or Ctrl-C stops it gracefully. CONFIG is a .toml or .json file, or module:NAME.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it waits until the master listens
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal with `tostop` would stop workers that write to it
    for number in WITHOUT_MEANING:
        signal.signal(number, lambda number, frame: None)  # no SIG_IGN, which workers and commands would inherit
    service_socket, directory = make_ready(), working_directory()
    with contextlib.closing(Launcher(directory)) as launcher:
        launcher.execute_ahead(ZYGOTE_MODULE)  # it imports what it needs while we do
        gc.disable()  # nothing of what is imported is garbage
        from consumerd.cli.starting import RunOptions, start

        gc.freeze()  # and nothing of it is looked through ever again
        gc.enable()

        return start(RunOptions(config, parking, log_format, directory), state_dir, service_socket, launcher)
