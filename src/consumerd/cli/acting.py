"""What the verbs that change something share: ask the master, and show what it did. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from consumerd.errors import WireError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import call

Plain = Mapping[str, Any]  # an answer, as JSON brought it


def ask(state_dir: StateDirectory, method: str, params: Mapping[str, object], *, timeout_s: float = 5.0) -> Plain:
    """The master's answer, an object."""
    answer = call(state_dir.control_socket, method, params, timeout_s=timeout_s)
    if not isinstance(answer, dict):
        raise WireError(f"the master's answer to {method} is no object: it is of another version")
    return answer


def show(answer: Plain, *, as_json: bool, line: Callable[[Any], str]) -> None:  # a pool, as the answer has it
    """The answer as it is, or a line for each of its pools."""
    if as_json:
        click.echo(json.dumps(answer))
        return
    for pool in answer["pools"]:
        click.echo(line(pool))
