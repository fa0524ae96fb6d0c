"""`consumerd parked`: what waits for its next attempt, or for a person. The master is asked, if one runs."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from msgspec.structs import replace

from consumerd import clock
from consumerd.cli.lines import terminal_width
from consumerd.cli.options import json_option, record_bytes, state_dir_option
from consumerd.cli.verb import parameters
from consumerd.errors import ConsumerdError, UsageError
from consumerd.standard_streams import shown
from consumerd.state.state_dir import StateDirectory
from consumerd.verbs.parked.asking import Item, ask, ask_master
from consumerd.verbs.parked.methods import (
    MOST_COUNTED,
    ParkedChange,
    ParkedDiscard,
    ParkedEdit,
    ParkedErrors,
    ParkedList,
    ParkedMethod,
    ParkedRetry,
    ParkedShow,
)
from consumerd.verbs.parked.view import (
    agrees,
    is_asked,
    render_changed,
    render_errors,
    render_list,
    render_nothing,
    render_queries,
    render_suspects,
    render_task,
)
from consumerd.wire.status import ask_status

MOST_LISTED = 100
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)(?:\s+ago)?")
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(?:\s*/\s*(s|min|m|h|d))?")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Moment(click.ParamType[float]):
    """A moment as people write it: `30min`, `2h` or `3d` ago, or an ISO date with or without its time, UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # as click has it
        if (ago := _AGO.fullmatch(value.strip())) is not None:
            return clock.wall() - float(ago[1]) * _UNITS_S[ago[2]]
        try:
            at = datetime.fromisoformat(value)
            return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 30min, 2h or 3d ago, 2026-11-28 or 2026-11-28T12:00", param, ctx)


class Rate(click.ParamType[float]):
    """A rate as people write it: `50/s`, `600/min`, `1000/h`."""

    name = "RATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # as click has it
        rate = _RATE.fullmatch(value.strip())
        if rate is None or not float(rate[1]):
            self.fail(f"{value!r} is no rate: write 50/s, 600/min or 1000/h", param, ctx)
        return float(rate[1]) / _UNITS_S[rate[2] or "s"]


MOMENTS = {"since": Moment(), "until": Moment()}
DECIDABLE = click.Choice(["waiting", "dead"])
ALL_SUSPECTS = {"state": "suspect"}
ANY_STATE = click.Choice([*DECIDABLE.choices, "suspect"])


@click.group()
def command() -> None:
    """Show, retry or discard parked tasks: waiting for their next attempt, or dead until a person decides."""


def _verb(kind: type[ParkedMethod], **types: click.ParamType[Any]) -> Callable[[Callable[..., Any]], click.Command]:
    """The command of a method: what its fields and the function's own options are, and whom it asks."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        common = json_option(_config_option(state_dir_option(function)))
        return command.command(kind.verb())(parameters(kind, {**MOMENTS, **types})(common))

    return decorate


_config_option = click.option(
    "--config", metavar="CONFIG", help="Ask the store that this configuration names; the master is not needed."
)
_sure_option = click.option("--yes", "-y", "is_sure", is_flag=True, help="With --all on a terminal: do not ask.")


@_verb(ParkedList, state=ANY_STATE, limit=click.IntRange(min=1))
@click.argument("named", metavar="[TARGET]", required=False)
def list_(
    state_dir: StateDirectory,
    config: str | None,
    as_json: bool,
    *,
    named: str | None,
    target: str | None,
    limit: int | None,
    **narrowing: Any,  # click's parameters
) -> int:
    """List parked tasks of TARGET, a group or group/name; the newest failure first, 100 at most without --limit."""
    limit = MOST_LISTED if limit is None else limit
    target = named if target is None else target
    rows = ask(state_dir, config, ParkedList(target=target, limit=limit + 1, **narrowing))
    is_cut = len(rows) > limit
    rows = rows[:limit]
    if as_json:
        _print_json({"tasks": rows, "has_more": is_cut})
        return shown()
    click.echo("\n".join(render_list(rows, width=terminal_width())) if rows else render_nothing(narrowing))
    if not rows and config is None and {key: value for key, value in narrowing.items() if value} == ALL_SUSPECTS:
        with contextlib.suppress(ConsumerdError):  # no master runs: the store knows all
            for line in render_suspects(ask_status(state_dir.control_socket).pools, target):
                click.echo(line)
    if is_cut:
        newest = "the newest is" if limit == 1 else f"the newest {limit} are"
        click.echo(f"only {newest} shown: see --limit", err=True)
    return shown()


@_verb(ParkedErrors, state=ANY_STATE)
@click.argument("named", metavar="[TARGET]", required=False)
def errors(
    state_dir: StateDirectory, config: str | None, as_json: bool, *, named: str | None, **narrowing: Any
) -> int:  # click's parameters
    """Count parked tasks of TARGET by their error, numbers and ids in it left out; the most frequent error first."""
    target = narrowing.pop("target")
    rows = ask(state_dir, config, ParkedErrors(target=named if target is None else target, **narrowing))
    is_cut = sum(row["tasks"] for row in rows) >= MOST_COUNTED
    if as_json:
        _print_json({"errors": rows, "has_more": is_cut})
        return shown()
    click.echo("\n".join(render_errors(rows)) if rows else render_nothing(narrowing))
    if is_cut:
        click.echo(f"only the {MOST_COUNTED} newest failures are counted: see --since and --until", err=True)
    return shown()


@_verb(ParkedShow)
@click.option("--raw", "is_raw", is_flag=True, help="Write the payload's bytes to stdout, and nothing else.")
def show(
    state_dir: StateDirectory, config: str | None, as_json: bool, *, reference: str, target: str | None, is_raw: bool
) -> int:
    """Show one task whole. HANDLE is what the list shows, at least the first 4 characters of it, or a task id."""
    (task,) = ask(state_dir, config, ParkedShow(target=target, reference=reference))
    if is_raw:
        sys.stdout.buffer.write(task["payload"])
        sys.stdout.buffer.flush()
    elif as_json:
        _print_json(_as_json(task))
    else:
        click.echo("\n".join(render_task(task)))
    return shown()


@command.command("edit")
@parameters(ParkedEdit, {"record": click.STRING})
@state_dir_option
@json_option
def edit(state_dir: StateDirectory, as_json: bool, *, record: str | None, **asked: Any) -> int:  # click's parameters
    """Give a task another record before it is retried. HANDLE: at least 4 characters of it, or a task id.

    What the record was stays in edited.log in the state directory. The running master is asked; it refuses what is a
    row of yours, no JSON, or in a worker's hands at this moment.
    """
    try:
        text = None if record is None else record_bytes(record).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the new record is not UTF-8: {error.reason} at position {error.start}") from error
    (edited,) = ask_master(state_dir, ParkedEdit(record=text, **asked))
    if as_json:
        _print_json(edited)
    elif asked["dry_run"]:
        click.echo(f"{edited['consumer']}: the record of {edited['handle']} would be changed")
    else:
        click.echo(f"{edited['consumer']}: the record of {edited['handle']} is changed; edited.log keeps what it was")
    return 0


@_verb(ParkedRetry, state=DECIDABLE, rate=Rate())
@_sure_option
def retry(state_dir: StateDirectory, config: str | None, as_json: bool, **chosen: Any) -> int:
    """Have tasks handled again now, or at a rate, their attempts kept. HANDLE: at least 4 characters, or a task id."""
    return _change(state_dir, config, ParkedRetry, chosen, as_json=as_json)


@_verb(ParkedDiscard, state=DECIDABLE)
@_sure_option
def discard(state_dir: StateDirectory, config: str | None, as_json: bool, **chosen: Any) -> int:
    """Delete tasks for good. HANDLE: at least 4 characters of it, or a task id."""
    return _change(state_dir, config, ParkedDiscard, chosen, as_json=as_json)


def _change(
    state_dir: StateDirectory, config: str | None, kind: type[ParkedChange], chosen: dict[str, Any], *, as_json: bool
) -> int:
    """Change what is chosen, by click's parameters; on a terminal not before a person has agreed to their number."""
    is_sure = chosen.pop("is_sure")
    asked = kind(**chosen)
    if bool(asked.references) == asked.all:
        raise click.UsageError("write either handles or --all, which --target, --state and the like narrow down")
    if asked.all and not is_sure and not asked.dry_run and is_asked():
        asked = replace(asked, until=min(asked.until or math.inf, clock.wall()))  # no more than are counted
        if not agrees(asked.verb(), ask(state_dir, config, replace(asked, dry_run=True))):
            click.echo("nothing was changed")
            return 1
    items = ask(state_dir, config, asked)
    if as_json:
        consumers = [{"consumer": item["consumer"], "tasks": item["tasks"]} for item in items if not item["is_left"]]
        left = [{"consumer": item["consumer"], "tasks": item["tasks"]} for item in items if item["is_left"]]
        _print_json({"consumers": consumers, "left": left})
    else:
        rate = asked.rate if isinstance(asked, ParkedRetry) else None
        click.echo("\n".join(render_changed(asked.verb(), items, is_dry=asked.dry_run, rate=rate)))
        if isinstance(asked, ParkedDiscard):
            with contextlib.suppress(ConsumerdError):  # no master runs: nobody knows whose rows they are
                pools = ask_status(state_dir.control_socket).pools
                for line in render_queries(items, {pool.name for pool in pools if pool.source == "query"}):
                    click.echo(line)
    return 0


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
