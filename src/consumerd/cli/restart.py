"""`consumerd restart TARGET`: new processes, slot by slot, of the code as it is now."""

from __future__ import annotations

import click

from consumerd.cli.acting import ask, show
from consumerd.cli.options import json_option, state_dir_option, target_argument
from consumerd.cli.waiting import tell_nobody, wait_for, wait_option
from consumerd.state.state_dir import StateDirectory


@click.command()
@target_argument
@state_dir_option
@json_option
@wait_option
def command(target: str, state_dir: StateDirectory, as_json: bool, is_waiting: bool) -> None:
    """Restart the workers slot by slot, with the code as it is now. TARGET is a group or group/name.

    The code is imported before anybody leaves. The highest slot goes first; if it does not hold up, it goes back to
    what ran before, and nobody else is touched. See consumerd status.
    """
    answer = ask(state_dir, "restart", {"target": target})
    show(answer, as_json=as_json, line=lambda name: f"{name}: restarting")
    if is_waiting:
        wait_for(state_dir, answer["pools"], tell=tell_nobody if as_json else click.echo)
