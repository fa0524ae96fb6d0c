"""`consumerd cancel TASK`: end the attempt that a worker runs now."""

from __future__ import annotations

import json

import click

from consumerd.cli.acting import ask
from consumerd.cli.options import json_option, state_dir_option
from consumerd.state.state_dir import StateDirectory


@click.command()
@click.argument("task", metavar="TASK")
@click.option("--park", is_flag=True, help="Park the task as dead; it is not run again before somebody retries it.")
@state_dir_option
@json_option
def command(task: str, park: bool, state_dir: StateDirectory, as_json: bool) -> None:
    """End the attempt that a worker runs now, by replacing the worker; its stacks are kept.

    TASK is group/name#WORKER, whatever that worker runs, or group/name#WORKER:SHARD:OFFSET, that task alone: see
    consumerd status --workers. The task is not done: it comes again, and its source's other tasks that were
    handled and not settled may too. An attempt that ends within a second is let go on. With --park a task that hangs
    for good is parked when it comes again; one without an id cannot be told from others, and comes again.
    """
    answer = ask(state_dir, "cancel", {"task": task, **({"park": True} if park else {})})
    then = "its worker is being replaced" + (", and it will be parked as dead" if park else "")
    click.echo(json.dumps(answer) if as_json else f"{answer['task']}: cancelled, {then}")
