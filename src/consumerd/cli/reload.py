"""`consumerd reload`: read the configuration anew, show what differs, and take it over."""

from __future__ import annotations

import json

import click

from consumerd.cli.acting import ask
from consumerd.cli.options import json_option, state_dir_option
from consumerd.config.state_dir import StateDirectory

LONGEST_READ_S = 120.0
MEANING = {
    "added": "its workers start",
    "removed": "its workers leave",
    "enabled": "its workers start",
    "disabled": "its workers leave",
    "replaced": "its workers are replaced, the first one on trial",
    "amended": "nobody restarts",
}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what differs.")
@state_dir_option
@json_option
def command(dry_run: bool, state_dir: StateDirectory, as_json: bool) -> None:
    """Read the configuration anew, show what differs, and take it over: only pools that changed restart.

    A configuration with a mistake changes nothing. A change that does not hold up at a pool's highest slot is taken
    back, and the other slots are not touched: see consumerd status.
    """
    answer = ask(state_dir, "reload", {"dry_run": dry_run}, timeout_s=LONGEST_READ_S)
    if as_json:
        click.echo(json.dumps(answer))
        return
    for change in answer["changes"]:
        click.echo(f"{change}: {MEANING[change.split()[1]]}")
    for remark in answer["remarks"]:
        click.echo(remark)
    if not answer["changes"]:
        click.echo("nothing differs")
    elif dry_run:
        click.echo("nothing was changed: this was a dry run")
