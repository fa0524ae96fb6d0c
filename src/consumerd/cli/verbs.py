"""The verbs: `consumerd VERB` is `command` in `consumerd.cli.VERB`, imported only when it is that verb's turn.

A verb's module may import what it needs at its top; `status` stays quick because nobody imports `run` on its way.
"""

from __future__ import annotations

import importlib

import click

from consumerd.config.problems import did_you_mean

VERBS = {
    "run": "Start the master in the foreground.",
    "check": "Validate a configuration, import every class, probe the sources; change nothing.",
    "status": "Show what is running.",
    "events": "Follow what becomes true.",
    "logs": "Show the last events and lines of stderr, and follow them.",
    "scale": "Run another number of workers.",
    "pause": "Fetch nothing more for now.",
    "resume": "Fetch again.",
    "restart": "New processes, slot by slot, of the code as it is now.",
    "reload": "Read the configuration anew, and take over what differs.",
    "cancel": "End the attempt that a worker runs now.",
    "stop": "Stop the master and all its workers, gracefully.",
    "parked": "Show, retry or discard waiting and dead tasks.",
    "task": "Run one task through the real handler in the foreground; settle nothing.",
    "demo": "The whole thing in a minute, on the embedded default.",
}


class Verbs(click.Group):
    """A click group that knows its verbs by name and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"consumerd.cli.{cmd_name}").command
        assert isinstance(command, click.Command), cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is meant by the first argument, or the one that comes near."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            ctx.fail(f"there is no verb '{name}'{did_you_mean(name, VERBS) or ': see consumerd --help'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table above: help must not import every verb."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))
