"""`consumerd parked`: what waits for its next attempt, or for a person. The master is asked, if one runs."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from consumerd.cli.options import Decorator, json_option, state_dir_option
from consumerd.cli.parked_store import Item, ask, check_target
from consumerd.cli.parked_view import render_list, render_task
from consumerd.config.state_dir import StateDirectory

Function = Callable[..., Any]  # a verb's function, as click takes it

_config_option: Decorator = click.option(
    "--config", metavar="CONFIG", help="Ask the store that this configuration names; the master is not needed."
)
_DECIDABLE = ("waiting", "dead")


def _state_option(*states: str) -> Decorator:
    return click.option("--state", type=click.Choice(states), help="Only tasks in this state.")


_target_option = click.option("--target", metavar="TARGET", help="Only tasks of this group, or group/name.")
_all_option = click.option("--all", "is_all", is_flag=True, help="All parked tasks that --target and --state choose.")
_references = click.argument("references", nargs=-1, metavar="[HANDLE]...")


@click.group()
def command() -> None:
    """Show, retry or discard parked tasks: waiting for their next attempt, or dead until a person decides."""


def _verb(name: str) -> Callable[[Function], click.Command]:
    def decorate(function: Function) -> click.Command:
        return command.command(name)(json_option(_config_option(state_dir_option(function))))

    return decorate


@_verb("list")
@click.argument("target", required=False)
@_state_option(*_DECIDABLE, "suspect")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="So many, the newest first.")
def list_(
    state_dir: StateDirectory, config: str | None, as_json: bool, *, target: str | None, state: str | None, limit: int
) -> None:
    """List parked tasks of TARGET, a group or group/name; the newest failure first."""
    rows = ask(state_dir, config, "list", {"target": target, "state": state, "limit": limit + 1})
    if not rows:
        check_target(state_dir, config, target)
    is_cut = len(rows) > limit
    rows = rows[:limit]
    if as_json:
        _print_json({"tasks": rows, "has_more": is_cut})
        return
    click.echo("\n".join(render_list(rows)) if rows else "nothing is parked")
    if is_cut:
        click.echo(f"only the newest {limit} are shown: see --limit", err=True)


@_verb("show")
@click.argument("reference", metavar="HANDLE")
@_target_option
@click.option("--raw", "is_raw", is_flag=True, help="Write the payload's bytes to stdout, and nothing else.")
def show(
    state_dir: StateDirectory, config: str | None, as_json: bool, *, reference: str, target: str | None, is_raw: bool
) -> None:
    """Show one task whole. HANDLE is what the list shows, at least the first 4 characters of it, or a task id."""
    (task,) = ask(state_dir, config, "show", {"reference": reference, "target": target})
    if is_raw:
        sys.stdout.buffer.write(task["payload"])
        sys.stdout.buffer.flush()
    elif as_json:
        _print_json(_as_json(task))
    else:
        click.echo("\n".join(render_task(task)))


@_verb("retry")
@_references
@_target_option
@_state_option(*_DECIDABLE)
@_all_option
def retry(state_dir: StateDirectory, config: str | None, as_json: bool, **chosen: Any) -> None:
    """Have tasks handled again now, their attempts kept. HANDLE: at least 4 characters of it, or a task id."""
    _report(_change(state_dir, config, "retry", chosen), "due now", as_json=as_json)


@_verb("discard")
@_references
@_target_option
@_state_option(*_DECIDABLE)
@_all_option
def discard(state_dir: StateDirectory, config: str | None, as_json: bool, **chosen: Any) -> None:
    """Delete tasks for good. HANDLE: at least 4 characters of it, or a task id."""
    _report(_change(state_dir, config, "discard", chosen), "discarded", as_json=as_json)


def _change(state_dir: StateDirectory, config: str | None, verb: str, chosen: Mapping[str, Any]) -> list[Item]:
    """What was changed; chosen: click's parameters."""
    changed = ask(state_dir, config, verb, _choice(chosen))
    if not changed:
        check_target(state_dir, config, chosen["target"])
    return changed


def _choice(chosen: Mapping[str, Any]) -> dict[str, object]:  # click's parameters
    references: Sequence[str] = chosen["references"]
    if bool(references) == chosen["is_all"]:
        raise click.UsageError("write either handles or --all, which --target and --state narrow down")
    return {
        "references": list(references),
        "all": chosen["is_all"],
        "target": chosen["target"],
        "state": chosen["state"],
    }


def _report(changed: Sequence[Item], done: str, *, as_json: bool) -> None:
    if as_json:
        _print_json({"consumers": list(changed)})
        return
    for item in changed:
        click.echo(f"{item['consumer']}: {item['tasks']} {done}")
    if not changed:
        click.echo("nothing is parked there")


def _as_json(task: Item) -> Item:
    """The task with its bytes as text where they are UTF-8, and as base64 in any case."""
    payload: bytes = task["payload"]
    headers = [[name, _base64(value)] for name, value in task["headers"]]
    texts = {"payload": _text(payload), "payload_base64": _base64(payload)}
    return task | texts | {"key_base64": _base64(task["key"]), "key": _text(task["key"]), "headers": headers}


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2))
