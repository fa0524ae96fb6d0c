"""`consumerd logs [-f] [TARGET]`: events, and what the processes wrote to stderr."""

from __future__ import annotations

import click

from consumerd.cli.following import LEVELS, follow
from consumerd.cli.options import json_option, state_dir_option
from consumerd.state.state_dir import StateDirectory


@click.command()
@click.argument("target", metavar="[TARGET]", required=False)
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on with what comes, until the master ends.")
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=100, help="Of the last; 100 by default.")
@click.option("--level", type=click.Choice(LEVELS), default="info", help="Show no event below; info by default.")
@state_dir_option
@json_option
def command(
    target: str | None, is_following: bool, lines: int, level: str, state_dir: StateDirectory, as_json: bool
) -> int:
    """Show the last events and lines of stderr of all processes, or of those of TARGET, a group or group/name.

    The master keeps the last thousand. The whole log is wherever its stdout goes.
    """
    params: dict[str, object] = {"recent": lines, "stderr": True, "follow": is_following}
    if target is not None:
        params["target"] = target
    return follow(state_dir, params, level=level, as_json=as_json)
