"""`consumerd stop`: ask the master to stop, wait until it has, and say so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import msgspec

from consumerd import clock
from consumerd.cli.options import json_option, state_dir_option
from consumerd.errors import ConsumerdError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection
from consumerd.wire.method import Method, read_answer

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

GRACE_S = 5.0
"""How much longer than the master's own deadline the command waits for it."""


class Stopping(msgspec.Struct, frozen=True):
    """Within how many seconds the master ends."""

    ends_in_s: float


class Stop(Method, frozen=True):
    """Stop the master, which closes the connection when it ends."""

    name, result, is_act = "stop", Stopping, True

    async def answer(self, master: Controls, by: str) -> Stopping:
        deadline = master.supervisor.stop("asked by consumerd stop")
        return Stopping(round(max(0.0, deadline - clock.monotonic()), 3))


@click.command()
@state_dir_option
@json_option
def command(state_dir: StateDirectory, as_json: bool) -> int:
    """Stop the master and all its workers: they finish what they handle, settle it, and leave."""
    asked_at = clock.monotonic()
    with Connection(state_dir.control_socket) as master:
        ends_in_s = read_answer(master.call(Stop.name), Stopping, Stop.name).ends_in_s
        if not as_json:
            click.echo(f"stopping, within {ends_in_s:.0f} s")
        if not master.wait_closed(ends_in_s + GRACE_S):
            raise ConsumerdError(f"the master has not ended after {ends_in_s + GRACE_S:.0f} s: see consumerd status")
    took_s = round(clock.monotonic() - asked_at, 3)
    click.echo(json.dumps({"stopped": True, "took_s": took_s}) if as_json else f"stopped after {took_s:.1f} s")
    return 0
