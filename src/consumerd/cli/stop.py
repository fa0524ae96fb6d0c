"""`consumerd stop`: ask the master to stop, wait until it has, and say so. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from consumerd import clock
from consumerd.cli.options import json_option, state_dir_option
from consumerd.errors import ConsumerdError, WireError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection

GRACE_S = 5.0
"""How much longer than the master's own deadline the command waits for it."""


@click.command()
@state_dir_option
@json_option
def command(state_dir: StateDirectory, as_json: bool) -> int:
    """Stop the master and all its workers: they finish what they handle, settle it, and leave."""
    asked_at = clock.monotonic()
    with Connection(state_dir.control_socket) as master:
        ends_in_s = _ends_in_s(master.call("stop"))
        if not as_json:
            click.echo(f"stopping, within {ends_in_s:.0f} s")
        if not master.wait_closed(ends_in_s + GRACE_S):
            raise ConsumerdError(f"the master has not ended after {ends_in_s + GRACE_S:.0f} s: see consumerd status")
    took_s = round(clock.monotonic() - asked_at, 3)
    click.echo(json.dumps({"stopped": True, "took_s": took_s}) if as_json else f"stopped after {took_s:.1f} s")
    return 0


def _ends_in_s(result: object) -> float:
    ends_in_s = result.get("ends_in_s") if isinstance(result, Mapping) else None
    if not isinstance(ends_in_s, int | float):
        raise WireError("the master's answer to stop has no deadline: it is of another version")
    return float(ends_in_s)
