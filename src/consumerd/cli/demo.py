"""`consumerd demo`: the main job on the embedded default, with four workers of which one is killed, and a balance."""

from __future__ import annotations

import json
import os
import shutil

import click
from rich.console import Console

from consumerd.cli.options import json_option
from consumerd.demo.logins import POISON, make_logins, payloads
from consumerd.demo.report import as_json, print_balance, print_next, print_opening
from consumerd.demo.story import Demo, Interruption
from consumerd.demo.view import PlainView, view_for
from consumerd.demo.workspace import Workspace

WORKERS = 4
PAUSE_S = 0.008
UNEVEN = 1
INTERRUPTED = 128


@click.command()
@click.option(
    "--logins", default=4000, show_default=True, type=click.IntRange(1, 1_000_000), help="How many to produce."
)
@click.option("--rm", "is_removed", is_flag=True, help="Remove the demo's directory at the end, if it balances.")
@json_option
def command(logins: int, is_removed: bool, as_json: bool) -> int:
    """The whole thing in a minute, on the embedded default: no server, no root, nothing to install.

    Logins from a SQLite table, four workers, a few tasks that can only fail, one worker killed half-way; at the end a
    balance from the databases. What it made is kept in a temporary directory, to look at. Exit code 1 if it does not
    balance.
    """
    interruption = Interruption()
    with interruption.listening():
        return _run(interruption, logins, is_removed=is_removed, is_json=as_json)


def _run(interruption: Interruption, count: int, *, is_removed: bool, is_json: bool) -> int:
    console = _console(is_json=is_json)
    workspace = Workspace.make()
    logins = make_logins(count)
    configuration = workspace.write_configuration(workers=WORKERS, pause_s=PAUSE_S)
    workspace.produce(payloads(logins))
    print_opening(console, workspace, configuration, logins=count, poison=len(POISON))
    view = PlainView(console) if is_json else view_for(console)
    balance = Demo(workspace, logins, view, interruption).run()
    if balance is None:
        shutil.rmtree(workspace.path)
        console.print(
            "interrupted: the master and its workers are gone, and so is the demo's directory", soft_wrap=True
        )
        return INTERRUPTED + (interruption.number or 0)
    print_balance(console, balance)
    if is_json:
        click.echo(json.dumps(as_json(balance, workspace)))
    if is_removed and balance.is_even:
        shutil.rmtree(workspace.path)
    else:
        print_next(console, workspace)
    return 0 if balance.is_even else UNEVEN


def _console(*, is_json: bool) -> Console:
    """Programs get JSON on stdout, and people what is for them on stderr. A terminal without a name is a dumb one."""
    environ = {**os.environ, "TERM": os.environ.get("TERM") or "dumb"}
    return Console(stderr=is_json, highlight=False, _environ=environ)
