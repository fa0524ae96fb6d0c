"""What the verbs that follow share: a stream of the master's, shown as it comes. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from consumerd.cli.lines import printable
from consumerd.standard_streams import lost_output, shown
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection

Plain = Mapping[str, Any]  # an item, as JSON brought it

LEVELS = ("debug", "info", "warning", "error")
_SHOWN_FIRST = ("timestamp", "level", "event", "consumer")


def follow(state_dir: StateDirectory, params: Mapping[str, object], *, level: str, as_json: bool) -> int:
    """Show every item of this level or above until the stream ends or nobody reads on; stderr lines always.

    The exit code of that.
    """
    lowest = LEVELS.index(level)
    for item in _items(state_dir, params):
        if item["event"] == "stderr" or LEVELS.index(item["level"]) >= lowest:
            click.echo(json.dumps(item) if as_json else render(item))
        if lost_output() is not None:
            break
    return shown()


def _items(state_dir: StateDirectory, params: Mapping[str, object]) -> Iterator[Plain]:
    with Connection(state_dir.control_socket) as connection:
        for item in connection.follow("events", params):
            assert isinstance(item, dict)
            yield item


def render(item: Plain) -> str:
    """For people: a line of when, whose, what, and the fields as `name=value`; texts of several lines stand below."""
    head = f"{item['timestamp']} {item['level']:7} {item.get('consumer') or 'master'}"
    if item["event"] == "stderr":
        return f"{head} | {printable(item['line'])}"
    fields = {
        name: _text(value) for name, value in item.items() if name not in _SHOWN_FIRST and value not in ("", None)
    }
    told = [f"{name}={_quoted(printable(text))}" for name, text in fields.items() if "\n" not in text]
    below = [line for name, text in fields.items() if "\n" in text for line in (f"  {name}:", *_indented(text))]
    return "\n".join([" ".join([head, item["event"], *told]), *below])


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if " " in text else text


def _indented(text: str) -> list[str]:
    return [f"    {printable(line)}" for line in text.splitlines()]
