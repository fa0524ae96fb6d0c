"""Options and arguments that several verbs share. Imports nothing heavy: `status` uses it.

A verb takes `state_dir: StateDirectory` (located, nothing made yet), `as_json: bool`, `config: str`, `target: str`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from consumerd.config.state_dir import StateDirectory

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]  # click's decorators take any function


def _located(ctx: click.Context, parameter: click.Parameter, value: str | None) -> StateDirectory:
    return StateDirectory.locate(value, os.environ, os.geteuid())


state_dir_option: Decorator = click.option(
    "--state-dir",
    "state_dir",
    envvar="CONSUMERD_STATE_DIR",
    metavar="DIRECTORY",
    callback=_located,
    help="Where the state is kept: identity, control socket, locks, embedded store. [env: CONSUMERD_STATE_DIR]",
)

json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

config_argument: Decorator = click.argument("config", metavar="CONFIG")

target_argument: Decorator = click.argument("target", metavar="TARGET")
