"""`consumerd demo`: the main job on the embedded default, with four workers of which one is killed, and a balance."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from consumerd.cli.options import json_option
from consumerd.demo.balance import Balance, select
from consumerd.demo.logins import POISON, make_logins
from consumerd.demo.running import Demo, Interrupted, Workspace, raise_at_signals

UNEVEN = 1
INTERRUPTED = 128
SHOW_EVERY = 20
"""Of so many looks one is shown where lines are not written over."""


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
    say = partial(click.echo, err=as_json)  # programs get JSON on stdout, and people what is for them on stderr
    workspace = Workspace()
    produced = make_logins(logins)
    configuration = workspace.fill(produced)
    say(f"{logins:,} logins and {len(POISON)} tasks that can only fail, in {workspace.tasks}")
    say(f"$ {_command_name()} {shlex.join(workspace.command[3:])}\n")
    say("".join(f"    {line}".rstrip() + "\n" for line in configuration.splitlines()))
    lines = _Lines(is_err=as_json)
    raise_at_signals()
    try:
        balance = Demo(workspace, produced, lines.say, lines.show).run()
    except Interrupted as interrupted:
        shutil.rmtree(workspace.path)
        say("interrupted: the master and its workers are gone, and so is the demo's directory")
        return INTERRUPTED + int(interrupted.args[0])
    say(_balance_text(balance))
    if as_json:
        directories = {"directory": str(workspace.path), "state_dir": str(workspace.state.path)}
        click.echo(json.dumps({**asdict(balance), "is_even": not balance.problems, **directories}))
    if is_removed and not balance.problems:
        shutil.rmtree(workspace.path)
    else:
        say(_next_text(workspace))
    return UNEVEN if balance.problems else 0


class _Lines:
    """Lines for people. How it stands is one line that is written over, or a line now and then where none can be."""

    def __init__(self, *, is_err: bool) -> None:
        stream = sys.stderr if is_err else sys.stdout
        self._is_err = is_err
        self._writes_over = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._looks = 0

    def say(self, text: str) -> None:
        """One thing that happened."""
        click.echo(f"\r\x1b[K{text}" if self._writes_over else text, err=self._is_err)

    def show(self, text: str) -> None:
        """How it stands."""
        if self._writes_over:
            columns = shutil.get_terminal_size().columns
            click.echo(f"\r\x1b[K{text[: columns - 1]}", nl=False, err=self._is_err)
        elif self._looks % SHOW_EVERY == 0:
            click.echo(text, err=self._is_err)
        self._looks += 1


def _balance_text(balance: Balance) -> str:
    again = "  what the killed worker had not settled yet" if balance.repeated else ""
    rows = (
        f"produced       {balance.produced:>9,}",
        f"done           {balance.done:>9,}  different logins handled",
        f"parked         {balance.parked:>9,}  kept with their error, until a person decides",
        f"lost           {balance.lost:>9,}",
        f"pending        {balance.pending:>9,}",
        f"handled again  {balance.repeated:>9,}{again}",
    )
    verdict = "it does not balance" if balance.problems else "it balances: produced = done + parked, nothing lost"
    problems = [f"  {problem}" for problem in balance.problems]
    return "\n".join(("\nbalance, from the databases alone", *rows, *problems, verdict))


def _next_text(workspace: Workspace) -> str:
    """Where to look next: commands that work on what the demo left behind, with no master running."""
    parked, place = f"{_command_name()} parked", f"--state-dir {shlex.quote(str(workspace.state.path))}"
    store = workspace.state.parked_database
    query = "SELECT id FROM parked WHERE error LIKE 'ZeroDivisionError%' LIMIT 1"
    show = [f"  {parked} show {key[:10]} {place}" for (key,) in (select(store, query) if store.exists() else ())]
    lines = (
        "\nwhere to look next",
        "  # the tasks that failed; one of them with its record, error and traceback",
        f"  {parked} list {place}",
        *show,
        "  # what the master and its workers logged",
        f"  less {shlex.quote(str(workspace.log))}",
        "  # when you have seen enough",
        f"  rm -r {shlex.quote(str(workspace.path))}",
        "\nThe same job on Kafka and MariaDB: examples/gop; all the rest: README.md and docs/",
    )
    return "\n".join(lines)


def _command_name() -> str:
    """What a person types here to get this consumerd: its name, or its path where the shell would not find it."""
    beside = Path(sys.executable).parent / "consumerd"
    found = shutil.which("consumerd")
    if found is not None and beside.exists() and Path(found).samefile(beside):
        return "consumerd"
    if beside.exists():
        return shlex.quote(os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside))
    return f"{shlex.quote(sys.executable)} -m consumerd"
