"""`--wait`: look at the status until a change has reached every slot, or was taken back. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from consumerd.clock import SYSTEM_CLOCK
from consumerd.errors import ConsumerdError
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.status import PoolStatus, ask_status

LOOK_EVERY_S = 0.2
UP = frozenset({"running", "stalled", "finished"})

wait_option = click.option(
    "--wait", "is_waiting", is_flag=True, help="Return when every slot runs it; exit 1 if it was taken back."
)


def wait_for(state_dir: StateDirectory, names: Iterable[str], *, tell: Callable[[str], object]) -> None:
    """Until these pools run what they were just asked to, in every slot; told of each. ConsumerdError with a line for
    each that does not hold up, once the others have come to their ends.
    """
    pools = _pools(state_dir)
    asked = {name: pools[name].edition for name in names if name in pools}
    failures: dict[str, str] = {}
    while asked:
        for name, edition in tuple(asked.items()):
            failure = _failure(pools.get(name), edition)
            if failure:
                failures[name] = failure
            elif _is_done(pools.get(name), edition):
                tell(f"{name}: every worker runs it")
            else:
                continue
            del asked[name]
        if asked:
            SYSTEM_CLOCK.sleep(LOOK_EVERY_S)
            pools = _pools(state_dir)
    if failures:
        raise ConsumerdError("\n".join(failures.values()))


def tell_nobody(text: str) -> None:
    """For those who want the answer alone."""


def _pools(state_dir: StateDirectory) -> dict[str, PoolStatus]:
    return {pool.name: pool for pool in ask_status(state_dir.control_socket).pools}


def _is_done(pool: PoolStatus | None, edition: int) -> bool:
    """Whether every slot has come to run this edition, or a later one; a pool that is gone has nobody to wait for."""
    if pool is None:
        return True
    are_new = all(worker.edition >= edition and worker.state in UP for worker in pool.workers)
    return pool.state == "up" and pool.established >= edition and are_new


def _failure(pool: PoolStatus | None, edition: int) -> str:
    """Why it will not come to that; or nothing yet."""
    if pool is None:
        return ""
    if pool.rejected >= edition:
        return f"{pool.name}: the change did not hold up and was taken back: {pool.reason}"
    if pool.state == "failed":
        return f"{pool.name} has failed: {pool.reason}"
    is_on_trial = pool.established < edition
    refused = next((worker for worker in pool.workers if worker.is_refused and not is_on_trial), None)
    why = "" if refused is None else f"worker {refused.slot} cannot be started: {refused.refused}"
    return why and f"{pool.name}: {why}; it is tried again"
