"""`consumerd reload`: read the configuration anew, show what differs, and take it over."""

from __future__ import annotations

import json

import click

from consumerd.cli.acting import Plain, ask
from consumerd.cli.options import json_option, state_dir_option
from consumerd.cli.waiting import tell_nobody, wait_for, wait_option
from consumerd.state.state_dir import StateDirectory

LONGEST_READ_S = 120.0
MEANING = {
    "added": "its workers start",
    "removed": "its workers leave",
    "enabled": "its workers start",
    "disabled": "its workers leave",
    "replaced": "its workers are replaced, the first one on trial",
    "amended": "nobody restarts",
}
BRINGS_WORKERS = frozenset({"added", "enabled", "replaced"})


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what differs.")
@state_dir_option
@json_option
@wait_option
def command(dry_run: bool, state_dir: StateDirectory, as_json: bool, is_waiting: bool) -> None:
    """Read the configuration anew, show what differs, and take it over: only pools that changed restart.

    A configuration with a mistake changes nothing. A change that does not hold up at a pool's highest slot is taken
    back, and the other slots are not touched: see consumerd status.
    """
    answer = ask(state_dir, "reload", {"dry_run": dry_run}, timeout_s=LONGEST_READ_S)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _show(answer, is_dry=dry_run)
    if is_waiting and not dry_run:
        changes = [change.split() for change in answer["changes"]]
        names = [name for name, kind, *_ in changes if kind in BRINGS_WORKERS]
        wait_for(state_dir, names, tell=tell_nobody if as_json else click.echo)


def _show(answer: Plain, *, is_dry: bool) -> None:
    for change in answer["changes"]:
        click.echo(f"{change}: {MEANING[change.split()[1]]}")
    for setting in answer["settings"]:
        click.echo(f"{setting}: taken over, nobody restarts")
    for remark in answer["remarks"]:
        click.echo(remark)
    if not (answer["changes"] or answer["settings"] or answer["remarks"]):
        click.echo("nothing differs")
    elif is_dry:
        click.echo("nothing was changed: this was a dry run; consumerd check looks at the code and its own keys too")
