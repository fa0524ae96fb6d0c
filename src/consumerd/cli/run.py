"""`consumerd run CONFIG`: start the master in the foreground."""

from __future__ import annotations

import os
import signal

import click

from consumerd.cli.options import config_argument, state_dir_option
from consumerd.config.loading import load
from consumerd.config.problems import raise_problems
from consumerd.config.settings_table import PARKING_RULE, is_parking
from consumerd.config.shape import Document, LogSettings
from consumerd.config.shared_store import unreachable_store_problems
from consumerd.config.state_dir import StateDirectory
from consumerd.errors import UsageError
from consumerd.master.run import run_master


@click.command()
@config_argument
@click.option(
    "--parking",
    metavar="embedded|URL",
    help="Where failed tasks are kept: the embedded store of the state directory, or a database; overrides CONFIG.",
)
@state_dir_option
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    help="JSON for machines, or lines for people; overrides CONFIG.",
)
def command(config: str, parking: str | None, state_dir: StateDirectory, log_format: str | None) -> int:
    """Start the master in the foreground: systemd, Kubernetes and people all use this.

    SIGTERM or Ctrl-C stops it gracefully. CONFIG is a .toml or .json file, or module:NAME.
    """

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the master listens: a reload of what is not read yet

    def read() -> Document:
        return _overridden(load(config), parking, log_format)

    outcome = run_master(read(), state_dir, read)
    if outcome.refusal is not None:
        raise UsageError(outcome.refusal)
    return outcome.exit_code


def _overridden(document: Document, parking: str | None, log_format: str | None) -> Document:
    """The document with what the command line says instead."""
    changes: dict[str, object] = {}
    if parking is not None:
        if not is_parking(parking):
            raise UsageError(f"--parking must be {PARKING_RULE}, and is {parking!r}")
        changes["parking"] = parking
    if log_format is not None:
        changes["log"] = LogSettings.model_validate({"format": log_format, "level": document.settings.log.level})
    settings = document.settings.model_copy(update=changes)
    overridden = document.model_copy(update={"settings": settings})
    raise_problems(unreachable_store_problems(overridden, os.geteuid()))
    return overridden
