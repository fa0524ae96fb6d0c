"""How a person chooses parked tasks on the command line. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import click

from consumerd import clock
from consumerd.cli.options import Decorator

Function = Callable[..., Any]  # a verb's function, as click takes it

DECIDABLE = ("waiting", "dead")

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)(?:\s+ago)?")
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


target_option: Decorator = click.option(
    "--target", metavar="TARGET", help="Only tasks of this group, or group/name; one of others by its full name."
)


def narrowed(*states: str) -> Decorator:
    """The options that narrow a verb down, besides its target."""
    return _all_of(
        click.option("--state", type=click.Choice(states), help="Only tasks in this state."),
        click.option("--error", metavar="TEXT", help="Only tasks that have this in their error."),
        click.option("--text", metavar="TEXT", help="Only tasks that have this in id, error, traceback or payload."),
        click.option("--since", type=Moment(), help="Only tasks that failed last since then: 2h, or 2026-11-28T12:00."),
        click.option("--until", type=Moment(), help="Only tasks that failed last before then."),
    )


def _all_of(*options: Decorator) -> Decorator:
    return lambda function: reduce(lambda made, option: option(made), reversed(options), function)


changing = _all_of(
    click.argument("references", nargs=-1, metavar="[HANDLE]..."),
    target_option,
    narrowed(*DECIDABLE),
    click.option("--all", is_flag=True, help="All that the other options choose, of the consumers run here."),
    click.option("--dry-run", is_flag=True, help="Only count them."),
    click.option("--yes", "-y", "is_sure", is_flag=True, help="With --all on a terminal: do not ask."),
)
"""The options and arguments of a verb that changes parked tasks."""
