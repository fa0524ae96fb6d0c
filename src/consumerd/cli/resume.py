"""`consumerd resume TARGET`: fetch again."""

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
    """Let the workers of a paused pool fetch again. TARGET is a group or group/name."""
    answer = ask(state_dir, "resume", {"target": target})
    show(answer, as_json=as_json, line=lambda name: f"{name}: resumed")
