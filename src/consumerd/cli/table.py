"""`consumerd table CONFIG TARGET`: the statements that a claimed table lacks, to be copied; `--create` runs them.

The table is looked at by a child process, which imports the consumer and the database's driver.
"""

from __future__ import annotations

import json
import sys

import click

from consumerd.cli.check import PROBE_S, WRONG, inspection_of
from consumerd.cli.lines import printable, printable_lines
from consumerd.cli.options import json_option
from consumerd.config.loading import load
from consumerd.config.problems import Inspection
from consumerd.errors import SourceAwayError
from consumerd.inquiry.asking import Question, ask

LONGEST_CHANGE_S = 86_400.0


@click.command()
@click.argument("config", metavar="CONFIG")
@click.argument("target", metavar="TARGET")
@click.option("--create", "is_made", is_flag=True, help="Run the statements, one after the other.")
@json_option
def command(config: str, target: str, is_made: bool, as_json: bool) -> int:
    """Print what the table of TARGET, a group/name, lacks: the table, columns, an index, as statements to be copied.

    Nothing is changed without --create. What it has made is there when it is asked again, and is not printed any more.
    """
    consumer = load(config).chosen(target)
    asked = {"settings": consumer.model_dump_json(), "parking": None, "probe": True, "table": is_made}
    more_s = LONGEST_CHANGE_S if is_made else PROBE_S
    found = inspection_of(consumer, ask(Question("consumerd.worker.inspect", asked, more_s=more_s)))
    sys.stderr.writelines(f"{problem}\n" for problem in found.problems)
    if found.problems:
        return WRONG
    if found.away:
        raise SourceAwayError(found.away)
    if as_json:
        answer = {"target": str(consumer.full_name), "is_made": is_made, "statements": list(found.changes)}
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(str(consumer.full_name), found, is_made=is_made)
    return 0


def _print(name: str, found: Inspection, *, is_made: bool) -> None:
    """As a script: what is no statement is a comment."""
    count = len(found.changes)
    statements = f"{count} {'statement' if count == 1 else 'statements'}"
    then = "executed" if is_made else "not executed (--create does)"
    click.echo(f"-- {name}: " + (f"{statements}, {then}" if count else "its table lacks nothing"))
    for change in found.changes:
        click.echo()
        for comment in filter(None, (change["why"], change["caution"])):
            click.echo(f"-- {printable(comment)}")
        click.echo(printable_lines(f"{change['statement']};"))
