"""`consumerd demo`: the main job on the embedded default, with four workers of which one is killed, and a balance."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import textwrap
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from consumerd.cli.options import json_option
from consumerd.demo.balance import POISON, Balance, make_logins, select
from consumerd.demo.running import Demo

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    demo = Demo(make_logins(logins), say)
    configuration = demo.fill()
    say(f"{logins:,} logins and {len(POISON)} tasks that can only fail, in {demo.tasks}")
    say(f"$ {_command_name()} {shlex.join(demo.arguments)}\n")
    say(textwrap.indent(configuration, "    "))
    try:
        _exit_at_signals()
        balance = demo.run()
    except SystemExit:
        shutil.rmtree(demo.path)
        say("interrupted: the master and its workers are gone, and so is the demo's directory")
        raise
    say(_balance_text(balance))
    if as_json:
        directories = {"directory": str(demo.path), "state_dir": str(demo.state.path)}
        click.echo(json.dumps({**asdict(balance), "is_even": not balance.problems, **directories}))
    if is_removed and not balance.problems:
        shutil.rmtree(demo.path)
    else:
        say(_next_text(demo))
    return 1 if balance.problems else 0


def _exit_at_signals() -> None:
    """Exit at the first signal that asks this process to end; its end is not disturbed."""

    def leave(number: int, frame: object) -> None:
        for each in INTERRUPTS:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in INTERRUPTS:
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(each, leave)


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


def _next_text(demo: Demo) -> str:
    """Where to look next: commands that work on what the demo left behind, with no master running."""
    parked, place = f"{_command_name()} parked", f"--state-dir {shlex.quote(str(demo.state.path))}"
    store = demo.state.parked_database
    query = "SELECT id FROM parked WHERE error LIKE 'ZeroDivisionError%' LIMIT 1"
    show = [f"  {parked} show {key[:10]} {place}" for (key,) in (select(store, query) if store.exists() else ())]
    lines = (
        "\nwhere to look next",
        "  # the tasks that failed; one of them with its record, error and traceback",
        f"  {parked} list {place}",
        *show,
        "  # what the master and its workers logged",
        f"  less {shlex.quote(str(demo.log))}",
        "  # when you have seen enough",
        f"  rm -r {shlex.quote(str(demo.path))}",
        "\nThe same job on Kafka and MariaDB: examples/gop; all the rest: README.md and docs/",
    )
    return "\n".join(lines)


def _command_name() -> str:
    """What a person types here to get this consumerd."""
    typed = sys.argv[0]
    if Path(typed).name != "consumerd":
        return f"{shlex.quote(sys.executable)} -m consumerd"
    return "consumerd" if shutil.which("consumerd") == typed else shlex.quote(typed)
