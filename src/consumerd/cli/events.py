"""`consumerd events [TARGET]`: follow what becomes true, as the master knows it."""

from __future__ import annotations

import click

from consumerd.cli.following import LEVELS, follow
from consumerd.cli.options import json_option, state_dir_option
from consumerd.state.state_dir import StateDirectory


@click.command()
@click.argument("target", metavar="[TARGET]", required=False)
@click.option("--recent", type=click.IntRange(0, 1000), default=0, help="Show so many earlier ones first.")
@click.option("--level", type=click.Choice(LEVELS), default="info", help="Show nothing below; info by default.")
@state_dir_option
@json_option
def command(target: str | None, recent: int, level: str, state_dir: StateDirectory, as_json: bool) -> int:
    """Follow events, the master's own and those that workers report to it, until it ends. TARGET: group or group/name.

    What only a worker knows, each task that it handles for instance, is in the log alone. With --json each is an
    object on a line. Exit code 1 where they were not read as fast as they came.
    """
    params = {"recent": recent} if target is None else {"recent": recent, "target": target}
    return follow(state_dir, params, level=level, as_json=as_json)
