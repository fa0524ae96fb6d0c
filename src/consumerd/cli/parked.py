"""`consumerd parked`: what waits for its next attempt, or for a person. The master is asked, if one runs."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import click

from consumerd import clock
from consumerd.cli.lines import terminal_width
from consumerd.cli.options import Decorator, json_option, state_dir_option
from consumerd.cli.parked_options import DECIDABLE, Function, changing, narrowed, target_option
from consumerd.cli.parked_store import Item, ask, check_target
from consumerd.cli.parked_view import agrees, is_asked, render_changed, render_list, render_task
from consumerd.standard_streams import shown
from consumerd.state.state_dir import StateDirectory

_config_option: Decorator = click.option(
    "--config", metavar="CONFIG", help="Ask the store that this configuration names; the master is not needed."
)


@click.group()
def command() -> None:
    """Show, retry or discard parked tasks: waiting for their next attempt, or dead until a person decides."""


def _verb(name: str) -> Callable[[Function], click.Command]:
    def decorate(function: Function) -> click.Command:
        return command.command(name)(json_option(_config_option(state_dir_option(function))))

    return decorate


@_verb("list")
@click.argument("target", required=False)
@narrowed(*DECIDABLE, "suspect")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="So many, the newest first.")
def list_(
    state_dir: StateDirectory,
    config: str | None,
    as_json: bool,
    *,
    target: str | None,
    limit: int,
    **narrowing: Any,  # click's parameters
) -> int:
    """List parked tasks of TARGET, a group or group/name; the newest failure first."""
    rows = ask(state_dir, config, "list", {"target": target, "limit": limit + 1, **narrowing})
    if not rows:
        check_target(state_dir, config, target)
    is_cut = len(rows) > limit
    rows = rows[:limit]
    if as_json:
        _print_json({"tasks": rows, "has_more": is_cut})
        return shown()
    click.echo("\n".join(render_list(rows, width=terminal_width())) if rows else "nothing is parked")
    if is_cut:
        click.echo(f"only the newest {limit} are shown: see --limit", err=True)
    return shown()


@_verb("show")
@click.argument("reference", metavar="HANDLE")
@target_option
@click.option("--raw", "is_raw", is_flag=True, help="Write the payload's bytes to stdout, and nothing else.")
def show(
    state_dir: StateDirectory, config: str | None, as_json: bool, *, reference: str, target: str | None, is_raw: bool
) -> int:
    """Show one task whole. HANDLE is what the list shows, at least the first 4 characters of it, or a task id."""
    (task,) = ask(state_dir, config, "show", {"reference": reference, "target": target})
    if is_raw:
        sys.stdout.buffer.write(task["payload"])
        sys.stdout.buffer.flush()
    elif as_json:
        _print_json(_as_json(task))
    else:
        click.echo("\n".join(render_task(task)))
    return shown()


@_verb("retry")
@changing
def retry(state_dir: StateDirectory, config: str | None, as_json: bool, **chosen: Any) -> int:
    """Have tasks handled again now, their attempts kept. HANDLE: at least 4 characters of it, or a task id."""
    return _change(state_dir, config, "retry", chosen, as_json=as_json)


@_verb("discard")
@changing
def discard(state_dir: StateDirectory, config: str | None, as_json: bool, **chosen: Any) -> int:
    """Delete tasks for good. HANDLE: at least 4 characters of it, or a task id."""
    return _change(state_dir, config, "discard", chosen, as_json=as_json)


def _change(state_dir: StateDirectory, config: str | None, verb: str, chosen: dict[str, Any], *, as_json: bool) -> int:
    """Change what is chosen, by click's parameters; on a terminal not before a person has agreed to their number."""
    arguments = _arguments(chosen)
    if chosen["is_all"] and not chosen["is_sure"] and not chosen["dry_run"] and is_asked():
        arguments["until"] = min(arguments["until"] or math.inf, clock.wall())  # no more than are counted
        if not agrees(verb, ask(state_dir, config, verb, {**arguments, "dry_run": True})):
            click.echo("nothing was changed")
            return 1
    items = ask(state_dir, config, verb, arguments)
    if not items:
        check_target(state_dir, config, chosen["target"])
    if as_json:
        consumers = [{"consumer": item["consumer"], "tasks": item["tasks"]} for item in items if not item["is_left"]]
        left = [{"consumer": item["consumer"], "tasks": item["tasks"]} for item in items if item["is_left"]]
        _print_json({"consumers": consumers, "left": left})
    else:
        click.echo("\n".join(render_changed(verb, items, is_dry=chosen["dry_run"])))
    return 0


def _arguments(chosen: dict[str, Any]) -> dict[str, Any]:  # what the store helper takes
    """The request. UsageError where neither handles nor --all say what is meant."""
    if bool(chosen["references"]) == chosen["is_all"]:
        raise click.UsageError("write either handles or --all, which --target, --state and the like narrow down")
    arguments = {name: value for name, value in chosen.items() if name not in ("is_all", "is_sure")}
    return {**arguments, "all": chosen["is_all"], "references": list(chosen["references"])}


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
