"""Options that several verbs share. Imports nothing heavy: `status` uses it.

A verb takes `state_dir: StateDirectory` (located, nothing made yet) and `as_json: bool`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from consumerd.errors import UsageError
from consumerd.state.state_dir import StateDirectory

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]  # click's decorators take any function


def _located(ctx: click.Context, parameter: click.Parameter, value: str | None) -> StateDirectory:
    return StateDirectory.locate(value, os.environ, os.geteuid())


def _state_dir_option(**more: Any) -> Decorator:  # click's own keywords
    return click.option(
        "--state-dir",
        "state_dir",
        envvar="CONSUMERD_STATE_DIR",
        metavar="DIRECTORY",
        help="Where the state is kept: identity, control socket, locks, embedded store. [env: CONSUMERD_STATE_DIR]",
        **more,
    )


state_dir_option = _state_dir_option(callback=_located)
chosen_state_dir_option = _state_dir_option()
"""For a verb that takes it as it was written, `state_dir: str | None`: its configuration may name a directory, too."""


def state_dir_of(configured: Path | None, otherwise: StateDirectory) -> StateDirectory:
    """The directory that the configuration names, unless the command line or the environment named one."""
    source = click.get_current_context().get_parameter_source("state_dir")
    is_chosen = source is not None and source is not ParameterSource.DEFAULT
    return otherwise if is_chosen or configured is None else StateDirectory.locate(configured, os.environ, os.geteuid())


call_option: Decorator = click.option(
    "--call", "may_call", is_flag=True, help="Call get_next_batch, though nobody has said that it only reads."
)

config_option: Decorator = click.option(
    "--config", metavar="CONFIG", help="The configuration; by default the running master's."
)

json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def record_bytes(written: str) -> bytes:
    """The payload that `--record JSON|@FILE` gives; of `@-`, what is on stdin. UsageError where it cannot be read."""
    if not written.startswith("@"):
        return written.encode("utf-8", "surrogateescape")
    try:
        return sys.stdin.buffer.read() if written == "@-" else Path(written[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"--record {written}: the file cannot be read ({error.strerror})") from error
