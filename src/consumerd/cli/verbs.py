"""The verbs: which there are, what each is for, and the module of each, imported when it is that verb's turn.

A verb's module may import what it needs at its top; `status` stays quick because nobody imports `run` on its way.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from consumerd.wire.method import Method

MASTERS = "consumerd.verbs."
"""Where the verbs are that a running master answers."""


class Listed(NamedTuple):
    """summary: for `--help`; module: whose `attribute` is the command; methods: the module of these, if another."""

    summary: str
    module: str
    attribute: str = "command"
    methods: str | None = None


VERBS = {
    "run": Listed("Start the master in the foreground.", "consumerd.cli.run"),
    "check": Listed(
        "Validate a configuration, import every class, probe the sources; change nothing.", "consumerd.cli.check"
    ),
    "status": Listed("Show what is running.", "consumerd.verbs.status"),
    "top": Listed("Watch pools and workers in the terminal, and act on them.", "consumerd.top.command"),
    "doctor": Listed("Say what is wrong, why, and what to do.", "consumerd.cli.doctor"),
    "explain": Listed("Say why a pool, a worker or a task is as it is now.", "consumerd.cli.explain"),
    "events": Listed("Follow what becomes true.", "consumerd.verbs.events"),
    "logs": Listed("Show the last events and lines of stderr, and follow them.", "consumerd.verbs.events", "logs"),
    "limits": Listed("Show how limits are used, and who waits for them.", "consumerd.verbs.limits"),
    "metrics": Listed("Print all numbers, as a server of metrics reads them.", "consumerd.verbs.metrics"),
    "dashboard": Listed("Show the page of a running master in the browser.", "consumerd.dashboard.command"),
    "scale": Listed("Run another number of workers.", "consumerd.verbs.scale"),
    "pause": Listed("Fetch nothing more for now.", "consumerd.verbs.pause"),
    "resume": Listed("Fetch again.", "consumerd.verbs.pause", "resume"),
    "restart": Listed("New processes, slot by slot, of the code as it is now.", "consumerd.verbs.restart"),
    "reload": Listed("Read the configuration anew, and take over what differs.", "consumerd.verbs.reload"),
    "run-now": Listed("Run a schedule once now, beside its times.", "consumerd.verbs.run_now"),
    "destinations": Listed(
        "Show what tasks need, and whether it answers; open and close it.", "consumerd.verbs.destinations"
    ),
    "cancel": Listed("End the attempt that a worker runs now.", "consumerd.verbs.cancel"),
    "stacks": Listed("Show what the threads of a worker do now.", "consumerd.verbs.stacks"),
    "stop": Listed("Stop the master and all its workers, gracefully.", "consumerd.verbs.stop"),
    "parked": Listed(
        "Show, retry or discard waiting and dead tasks.",
        "consumerd.verbs.parked.command",
        methods="consumerd.verbs.parked.methods",
    ),
    "where": Listed("Say where a task is, and why.", "consumerd.cli.where"),
    "peek": Listed("Show the tasks that come next; take none.", "consumerd.cli.peek"),
    "send": Listed("Send records to a topic or a claimed table.", "consumerd.cli.send"),
    "task": Listed("Run one task through the real handler in the foreground; settle nothing.", "consumerd.cli.task"),
    "table": Listed("Print what a claimed table lacks, as SQL; with --create, make it.", "consumerd.cli.table"),
    "demo": Listed("The whole thing in a minute, on the embedded default.", "consumerd.cli.demo"),
}


def methods() -> dict[str, type[Method]]:
    """Every method of the control socket, by its name: those of all verbs that a master answers."""
    from consumerd.wire.method import Method  # the command line needs none to find a verb

    for verb in VERBS.values():
        if verb.module.startswith(MASTERS):
            importlib.import_module(verb.methods or verb.module)
    found, unseen = dict[str, type[Method]](), [Method]
    while unseen:
        kind = unseen.pop()
        unseen += kind.__subclasses__()
        if kind.__module__.startswith(MASTERS) and "name" in vars(kind):
            found[kind.name] = kind
    return dict(sorted(found.items()))


class Verbs(click.Group):
    """A click group that knows its verbs by name and imports one when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        verb = VERBS[cmd_name]
        command = getattr(importlib.import_module(verb.module), verb.attribute)
        assert isinstance(command, click.Command), cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is meant by the first argument, or the one that comes near."""
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            from consumerd.config.problems import did_you_mean

            ctx.fail(f"there is no verb '{name}'{did_you_mean(name, VERBS) or ': see consumerd --help'}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, from the table above: help must not import every verb."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])
