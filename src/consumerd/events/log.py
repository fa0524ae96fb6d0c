"""The log: one line on stdout for each fact worth knowing, as JSON for machines or in words for people."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Literal

from consumerd import clock, events
from consumerd.events.facts import Fact, Level, Listener, plain
from consumerd.events.outlet import Outlet
from consumerd.standard_streams import STDERR, STDOUT

LogFormat = Literal["auto", "json", "console"]

PATIENCE_S = 1.0
"""How long one line may wait for whoever reads it, where nobody says otherwise."""

_RANKS = {level: rank for rank, level in enumerate((Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR))}
_LONGEST_VALUE = 8_192

_COLORS = {"error": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[32m", "debug": "\x1b[2m"}

Render = Callable[[Mapping[str, object]], str]
"""Makes a line of the fields of one: `timestamp`, `level`, `event`, and what the fact and the process add."""


class LogListener:
    """Writes a line for each fact at or above `level`, with the fields of `bound` on each.

    Lines never hold a payload: facts carry none.
    """

    def __init__(
        self,
        outlet: Outlet,
        render: Render,
        *,
        level: Level = Level.INFO,
        bound: Mapping[str, object] | None = None,
    ) -> None:
        self._outlet = outlet
        self._render = render
        self._level = level
        self._bound = dict(bound or {})

    def __call__(self, fact: Fact) -> None:
        if _RANKS[fact.level] < _RANKS[self._level]:
            return
        if self._write(fact) and self._outlet.dropped:
            dropped = self._outlet.take_dropped()
            if not self._write(events.log_lines_dropped(lines=dropped)):
                self._outlet.dropped = dropped

    def bound_to(self, fields: Mapping[str, object]) -> LogListener:
        """The same log, with these fields too on each line."""
        bound = {**self._bound, **fields}
        return LogListener(self._outlet, self._render, level=self._level, bound=bound)

    def _write(self, fact: Fact) -> bool:
        fields = {**self._bound, **fact.fields}
        line = plain(fact.name, fact.level, at=clock.wall(), fields=fields, longest=_LONGEST_VALUE)
        return self._outlet.write(self._render(line).encode("utf-8", "backslashreplace") + b"\n")


def log_to_stdout(
    log_format: LogFormat,
    level: str,
    *,
    bound: Mapping[str, object] | None = None,
    patience_s: float = PATIENCE_S,
) -> LogListener:
    """The log of this process, on its stdout. patience_s: how long one line may wait for whoever reads it."""
    render = renderer(log_format, is_terminal=os.isatty(STDOUT))
    outlet = Outlet(STDOUT, patience_s=patience_s)
    return LogListener(outlet, render, level=Level(level), bound=bound)


def log_to_stderr(log_format: LogFormat, level: str, bound: Mapping[str, object]) -> Listener:
    """The same on stderr, which is opened for it at the first line: most processes write none."""

    @cache
    def opened() -> LogListener:
        render = renderer(log_format, is_terminal=os.isatty(STDOUT))
        return LogListener(Outlet(STDERR, patience_s=PATIENCE_S), render, level=Level(level), bound=bound)

    return lambda fact: opened()(fact)


def renderer(log_format: LogFormat, *, is_terminal: bool) -> Render:
    """How a line looks; `auto` asks whether people read it."""
    if log_format == "console" or (log_format == "auto" and is_terminal):
        return partial(_in_words, is_colored=is_terminal)
    return json.JSONEncoder(ensure_ascii=False, default=repr).encode


def _in_words(line: Mapping[str, object], *, is_colored: bool) -> str:
    """`TIME level event  name=value …`. A value of several lines, such as a traceback, stands below, indented.

    What tasks have said steers no terminal.
    """
    level, event = str(line["level"]), str(line["event"])
    color, plain = (_COLORS.get(level, ""), "\x1b[0m") if is_colored else ("", "")
    fields = {name: str(value) for name, value in line.items() if name not in ("timestamp", "level", "event")}
    short = [f"{name}={_quoted(text)}" for name, text in fields.items() if "\n" not in text]
    blocks = [
        f"\n  {name}:\n{textwrap.indent(_escaped(text), '    ')}" for name, text in fields.items() if "\n" in text
    ]
    head = f"{line['timestamp']} {color}{level:<7}{plain} {event:<22} {' '.join(short)}"
    return head.rstrip() + "".join(blocks)


def _quoted(text: str) -> str:
    return text if text.isprintable() and " " not in text else repr(text)


def _escaped(text: str) -> str:
    """Lines stay lines."""
    return "".join(each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in text)
