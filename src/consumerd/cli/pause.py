"""`consumerd pause TARGET`: fetch nothing more for now."""

from __future__ import annotations

import click

from consumerd.cli.acting import ask, show
from consumerd.cli.options import json_option, state_dir_option, target_argument
from consumerd.state.state_dir import StateDirectory


@click.command()
@target_argument
@state_dir_option
@json_option
def command(target: str, state_dir: StateDirectory, as_json: bool) -> None:
    """Let the workers fetch nothing more; what they have in hand they finish. TARGET is a group or group/name.

    A paused pool keeps its workers, and its place in a consumer group, until consumerd resume; over restarts of the
    master too.
    """
    answer = ask(state_dir, "pause", {"target": target})
    show(answer, as_json=as_json, line=lambda name: f"{name}: paused; what its workers have in hand, they finish")
