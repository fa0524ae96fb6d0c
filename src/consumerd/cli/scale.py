"""`consumerd scale TARGET N|auto`: pin the number of workers, or leave it to the configuration again."""

from __future__ import annotations

import click

from consumerd.cli.acting import Plain, ask, show
from consumerd.cli.options import json_option, state_dir_option, target_argument
from consumerd.cli.status import shards_help
from consumerd.errors import UsageError
from consumerd.state.state_dir import StateDirectory

AUTO = "auto"


@click.command()
@target_argument
@click.argument("workers", metavar="N|auto")
@state_dir_option
@json_option
def command(target: str, workers: str, state_dir: StateDirectory, as_json: bool) -> None:
    """Run N workers, whatever the configuration says, until it says something else; auto: what it says, or as its range
    is filled by the lag.

    TARGET is a group or group/name. The number holds over reloads and restarts of the master.
    """
    params: dict[str, object] = {"target": target}
    if workers != AUTO:
        params["workers"] = _number(workers)
    answer = ask(state_dir, "scale", params)
    show(answer, as_json=as_json, line=_line)


def _line(pool: Plain) -> str:
    helping = pool["helping"]
    workers = "1 worker" if pool["workers"] == 1 else f"{pool['workers']} workers"
    return f"{pool['name']}: {workers}" + ("" if helping is None else f", {shards_help(helping)}")


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6:
        raise UsageError(f"the number of workers must be a whole number or {AUTO}, and is {text!r}")
    return int(text)
