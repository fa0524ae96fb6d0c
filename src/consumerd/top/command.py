"""`consumerd top`: the command. The library of the screen is imported here alone, once this is what is asked for."""

from __future__ import annotations

import sys

import click

from consumerd.cli.options import state_dir_option
from consumerd.errors import MissingExtraError, UsageError
from consumerd.state.state_dir import StateDirectory


@click.command()
@click.argument("target", required=False, metavar="[GROUP/NAME]")
@state_dir_option
def command(target: str | None, state_dir: StateDirectory) -> None:
    """Watch pools and workers in the terminal, and act on them: rates, lag, what each worker does now.

    GROUP/NAME: the pool to open first. Enter opens the one at the cursor, ? shows the keys, q ends. It asks the master
    once a second, and changes nothing before a key was pressed and its question answered with yes.
    """
    try:
        from consumerd.top.app import Top
    except ImportError as error:
        raise MissingExtraError("consumerd top", "top") from error
    if not all(stream is not None and stream.isatty() for stream in (sys.__stdin__, sys.__stderr__)):
        raise UsageError("consumerd top needs a terminal: for a program, ask consumerd status --json")
    Top(state_dir, opened=target).run()
