"""`consumerd peek TARGET`: the tasks that come next, read without taking any."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import click

from consumerd.cli.asked import ask_source
from consumerd.cli.lines import printable, terminal_width
from consumerd.cli.options import call_option, config_option, json_option, state_dir_option
from consumerd.inquiry.asking import Plain
from consumerd.standard_streams import STDOUT
from consumerd.state.state_dir import StateDirectory

SHOWN_CHARACTERS = 200
MOST_BYTES = 1024 * 1024
"""Of each record, where it is not for people."""


@click.command()
@click.argument("target", metavar="TARGET")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, help="So many at most; 10 by default.")
@click.option("--raw", "is_raw", is_flag=True, help="Print the records alone, byte for byte, one a line.")
@call_option
@config_option
@state_dir_option
@json_option
def command(
    target: str, limit: int, is_raw: bool, may_call: bool, config: str | None, state_dir: StateDirectory, as_json: bool
) -> int:
    """Show the tasks of TARGET, a group/name, that come next, in the order in which workers take them.

    Nothing is claimed, committed or handled, and no group is joined. Records are cut, and what could steer the terminal
    is escaped; --json and --raw have up to 1 MiB of each.
    """
    most_bytes = MOST_BYTES if as_json or is_raw else 4 * SHOWN_CHARACTERS
    asked = {"limit": limit, "most_bytes": most_bytes, "may_call": may_call}
    name, found = ask_source(target, config, state_dir, "peek", **asked)
    if is_raw:
        os.write(STDOUT, b"".join(_bytes(each["payload"]) + b"\n" for each in found["tasks"]))
    elif as_json:
        tasks = [{**each, "payload": _lossy(each["payload"]), "key": _lossy(each["key"])} for each in found["tasks"]]
        click.echo(json.dumps({"target": name, "tasks": tasks}, indent=2))
    else:
        for line in _lines(name, found["tasks"], terminal_width()):
            click.echo(line)
    return 0


def _lines(name: str, tasks: list[Plain], width: int | None) -> Iterator[str]:
    if not tasks:
        yield f"{name}: nothing comes next now"
    for task in tasks:
        key = "" if task["key"] is None else f"  key {shown(task['key'], len(task['key']), 60)}"
        parked = task["parked"]
        skipped = "" if parked is None else "  (parked, due again)" if task["is_due"] else f"  (skipped: {parked})"
        yield f"{printable(task['task'])}{key}  {printable(task['note'])}{skipped}"
        yield f"  {shown(task['payload'], task['bytes'], SHOWN_CHARACTERS if width is None else max(40, width - 20))}"


def shown(text: str, size_bytes: int, longest: int) -> str:
    """A record for a terminal: escaped, and cut, with its whole size where something is missing."""
    whole = printable(text)
    if not size_bytes:
        return "(empty)"
    if len(whole) <= longest and len(_bytes(text)) >= size_bytes:
        return whole
    return f"{whole[:longest]}… ({size_bytes} bytes)"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _lossy(text: str | None) -> str | None:
    """Bytes that are no UTF-8 as `\\xff`: JSON has none."""
    return None if text is None else _bytes(text).decode("utf-8", "backslashreplace")
