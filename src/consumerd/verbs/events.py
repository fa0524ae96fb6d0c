"""`consumerd events [TARGET]` and `consumerd logs [-f] [TARGET]`: what becomes true, and what is written to stderr."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import click

from consumerd import events
from consumerd.cli.lines import printable
from consumerd.cli.options import json_option, state_dir_option
from consumerd.standard_streams import lost_output, shown
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.method import Method, follow, parameter

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

Plain = Mapping[str, Any]  # an item, as JSON brought it

LEVELS = ("debug", "info", "warning", "error")
_OF_LINES = (events.line_logged.name, events.lines_folded.name)
_BEGIN = '{"timestamp": "'
_SHOWN_FIRST = ("timestamp", "level", "event", "consumer")


class Events(Method, frozen=True):
    """Follow facts as the master knows them, and stderr lines; those of pools that are added later too."""

    name, is_stream, timeout_s = "events", True, math.inf
    target: Annotated[str | None, parameter("Only of a group, or group/name.")] = None
    recent: Annotated[int, parameter("How many of those that are kept come first.")] = 0
    stderr: Annotated[bool, parameter("Lines of stderr too.")] = False
    follow: Annotated[bool, parameter("Go on with what comes.")] = True

    def items(self, master: Controls, by: str) -> AsyncGenerator[str]:
        if self.target is not None:
            master.configuration.matching(self.target)  # UsageError, where nothing is meant by it
        return master.broadcast.follow(self.target, self.recent, with_stderr=self.stderr, is_following=self.follow)


_target = click.argument("target", metavar="[TARGET]", required=False)
_level = click.option(
    "--level", type=click.Choice(LEVELS), default="info", help="Show no event below; info by default."
)


@click.command()
@_target
@click.option("--recent", type=click.IntRange(0, 1000), default=0, help="Show so many earlier ones first.")
@_level
@state_dir_option
@json_option
def command(target: str | None, recent: int, level: str, state_dir: StateDirectory, as_json: bool) -> int:
    """Follow events, the master's own and those that workers report to it, until it ends. TARGET: group or group/name.

    What only a worker knows, each task that it handles for instance, is in the log alone. With --json each is an
    object on a line. Exit code 1 where they were not read as fast as they came.
    """
    return _follow(state_dir, Events(target, recent), level=level, as_json=as_json)


@click.command()
@_target
@click.option("-f", "--follow", "is_following", is_flag=True, help="Go on with what comes, until the master ends.")
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=100, help="Of the last; 100 by default.")
@_level
@state_dir_option
@json_option
def logs(
    target: str | None, is_following: bool, lines: int, level: str, state_dir: StateDirectory, as_json: bool
) -> int:
    """Show the last events and lines of stderr of all processes, or of those of TARGET, a group or group/name.

    The master keeps the last thousand that are rare, and apart from them a thousand of single tasks and of stderr. The
    whole log is wherever its stdout goes.
    """
    asked = Events(target, lines, stderr=True, follow=is_following)
    return _follow(state_dir, asked, level=level, as_json=as_json)


def _follow(state_dir: StateDirectory, asked: Events, *, level: str, as_json: bool) -> int:
    """Show every item of this level or above until the stream ends or nobody reads on; stderr lines always."""
    lowest = LEVELS.index(level)
    for item in map(_read, follow(state_dir.control_socket, asked)):
        if item["event"] == "stderr" or LEVELS.index(item["level"]) >= lowest:
            click.echo(json.dumps(item) if as_json else render(item))
        if lost_output() is not None:
            break
    return shown()


def _read(item: Plain) -> Plain:
    """A line of stderr that a worker has written as one of the log is what it says; any other as it is."""
    line = item["line"] if item["event"] == "stderr" else ""
    if not line.startswith(_BEGIN):
        return item
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return item
    is_known = found.get("event") in _OF_LINES and found.get("level") in LEVELS
    return {**found, "consumer": item.get("consumer")} if is_known else item


def render(item: Plain) -> str:
    """For people: a line of when, whose, what, and the fields as `name=value`; texts of several lines stand below."""
    head = f"{item['timestamp']} {item['level']:7} {item.get('consumer') or 'master'}"
    if item["event"] == "stderr":
        return f"{head} | {printable(item['line'])}"
    fields = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in item.items()
        if name not in _SHOWN_FIRST and value not in ("", None)
    }
    told = [f"{name}={_quoted(printable(text))}" for name, text in fields.items() if "\n" not in text]
    below = [line for name, text in fields.items() if "\n" in text for line in (f"  {name}:", *_indented(text))]
    return "\n".join([" ".join([head, item["event"], *told]), *below])


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if " " in text else text


def _indented(text: str) -> list[str]:
    return [f"    {printable(line)}" for line in text.splitlines()]
