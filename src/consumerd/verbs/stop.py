"""`consumerd stop`: ask the master to stop, wait until it has, and say so."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import click
import msgspec

from consumerd import clock
from consumerd.cli.lines import printable
from consumerd.cli.options import json_option, state_dir_option
from consumerd.errors import ConsumerdError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.control import Connection
from consumerd.wire.method import Method, read_answer
from consumerd.wire.status import ask_status

if TYPE_CHECKING:
    from consumerd.master.control.controls import Controls

GRACE_S = 5.0
"""How much longer than the master's own deadline the command waits for it."""

TELL_AFTER_S = 3.0


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
        if not _closed(master, state_dir, ends_in_s + GRACE_S, says_so=not as_json):
            raise ConsumerdError(f"the master has not ended after {ends_in_s + GRACE_S:.0f} s: see consumerd status")
    took_s = round(clock.monotonic() - asked_at, 3)
    click.echo(json.dumps({"stopped": True, "took_s": took_s}) if as_json else f"stopped after {took_s:.1f} s")
    return 0


def _closed(master: Connection, state_dir: StateDirectory, within_s: float, *, says_so: bool) -> bool:
    """Whether the master ended in time. says_so: where that takes a while, tell for whom it waits."""
    if master.wait_closed(min(TELL_AFTER_S, within_s)):
        return True
    if says_so:
        with contextlib.suppress(ConsumerdError):  # it may end just now
            status = ask_status(state_dir.control_socket)
            click.echo(f"{printable(status.problems[0])}; kill -INT {status.pid} leaves them 2 s")
    return master.wait_closed(max(0.0, within_s - TELL_AFTER_S))
