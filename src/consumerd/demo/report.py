"""What the demo prints before and after: what it runs, the balance, where to look next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from consumerd.demo.balance import Balance
from consumerd.demo.books import read_parked_key
from consumerd.demo.workspace import Workspace

WIDE_COLUMNS = 80
HANDLE = 10
"""How many digits of a parked task's key people type."""

EXAMPLE, MANUAL = "examples/gop", "README.md and docs/"


def print_opening(console: Console, workspace: Workspace, configuration: str, *, logins: int, poison: int) -> None:
    """What is about to run, and on what."""
    _line(console, f"{logins:,} logins and {poison} tasks that can only fail, in {workspace.tasks}")
    _line(console, f"consumerd run {workspace.configuration} --state-dir {workspace.state_dir}")
    _line(console, "")
    for line in configuration.splitlines():
        _line(console, f"    {line}".rstrip(), "dim")
    _line(console, "")


def print_balance(console: Console, balance: Balance) -> None:
    """The balance, and every sentence of what is wrong with it."""
    is_wide = console.width >= WIDE_COLUMNS
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    if is_wide:
        table.add_column(style="dim", overflow="fold")
    for name, number, remark, is_bad in _rows(balance):
        cells = [Text(name), Text(f"{number:,}", style="bold red" if is_bad else "bold")]
        table.add_row(*([*cells, Text(remark)] if is_wide else cells))
    _line(console, "")
    _line(console, "balance, from the databases alone", "bold")
    _print_table(console, table)
    for problem in balance.problems:
        _line(console, f"  {problem}", "red")
    verdict = "it balances: produced = done + parked, nothing lost" if balance.is_even else "it does not balance"
    _line(console, verdict, "bold green" if balance.is_even else "bold red")


def _print_table(console: Console, table: Table) -> None:
    """The table; without the blanks at the ends of its lines where it is not for a terminal."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        _line(console, line.rstrip())


def print_next(console: Console, workspace: Workspace) -> None:
    """Where to look next: commands that work on what the demo left behind, with no master running."""
    command, place = command_name(), f"--state-dir {shlex.quote(str(workspace.state_dir))}"
    key = read_parked_key(workspace, ZeroDivisionError.__name__)
    _line(console, "")
    _line(console, "where to look next", "bold")
    _next(console, "the tasks that failed", f"{command} parked list {place}")
    if key is not None:
        _next(console, "one of them: its record, error and traceback", f"{command} parked show {key[:HANDLE]} {place}")
    _next(console, "what the master and its workers logged", f"less {shlex.quote(str(workspace.log))}")
    _next(console, "when you have seen enough", f"rm -r {shlex.quote(str(workspace.path))}")
    _line(console, "")
    _line(console, f"The same job on Kafka and MariaDB: {EXAMPLE}; all the rest: {MANUAL}")


def _next(console: Console, remark: str, command: str) -> None:
    _line(console, f"  # {remark}", "dim")
    _line(console, f"  {command}")


def as_json(balance: Balance, workspace: Workspace) -> dict[str, object]:
    """The balance for programs."""
    names = ("produced", "done", "parked", "lost", "pending", "grants", "wrong_grants", "repeated", "unexplained")
    numbers: dict[str, object] = {name: getattr(balance, name) for name in names}
    return numbers | {
        "is_even": balance.is_even,
        "problems": list(balance.problems),
        "directory": str(workspace.path),
        "state_dir": str(workspace.state_dir),
    }


def command_name() -> str:
    """What a person types here to get this consumerd: its name, or its path where the shell would not find it."""
    beside = Path(sys.executable).parent / "consumerd"
    found = shutil.which("consumerd")
    if found is not None and beside.exists() and Path(found).samefile(beside):
        return "consumerd"
    if beside.exists():
        return shlex.quote(os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside))
    return f"{shlex.quote(sys.executable)} -m consumerd"


def _rows(balance: Balance) -> tuple[tuple[str, int, str, bool], ...]:
    again = "what the killed worker had not settled yet" if balance.repeated else ""
    return (
        ("produced", balance.produced, "", False),
        ("done", balance.done, "different logins handled", False),
        ("parked", balance.parked, "kept with their error, until a person decides", False),
        ("lost", balance.lost, "", balance.lost > 0),
        ("pending", balance.pending, "", balance.pending > 0),
        ("grants", balance.grants, "each the newest that was produced", False),
        ("wrong grants", balance.wrong_grants, "", balance.wrong_grants > 0),
        ("handled again", balance.repeated, again, balance.unexplained > 0),
    )


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
