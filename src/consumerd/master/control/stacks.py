"""What the threads of a worker do now, as it writes it on its board when it is asked. Runs in the master."""

from __future__ import annotations

import asyncio
import re

from consumerd import clock
from consumerd.errors import ConsumerdError, UsageError
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.worker import Worker

WRITES_IN_S = 1.0
LOOK_S = 0.02
KEPT_BYTES = 131_072
"""So much room is left for the stacks of a worker that is stuck."""

_FORM = re.compile(r"(?P<pool>[^#]+)#(?P<slot>\d{1,9})")


async def stacks_of(pools: Pools, name: str) -> str:
    """The stacks of all threads of the worker `group/name#WORKER`. UsageError; ConsumerdError where it writes none."""
    worker, pool = _worker(pools, name)
    board = worker.ends.board
    if board.forget_stacks() < KEPT_BYTES:
        raise ConsumerdError(f"{name} was asked for its stacks too often, and has no room for more: restart it")
    assert worker.pid is not None
    pool.tools.launcher.ask_stacks(worker.pid, worker.pidfd)
    written, until = "", clock.monotonic() + WRITES_IN_S
    while clock.monotonic() < until and not worker.has_ended():
        before, written = written, board.stacks()
        if written and written == before:
            return written
        await asyncio.sleep(LOOK_S)
    raise ConsumerdError(f"{name} did not write its stacks: it has ended, is stopped by a signal, or waits for a disk")


def _worker(pools: Pools, name: str) -> tuple[Worker, Pool]:
    match = _FORM.fullmatch(name)
    pool = next((pool for pool in pools if match and pool.consumer == match["pool"]), None)
    if match is None or pool is None:
        raise UsageError(f"there is no worker {name!r}: WORKER is group/name#NUMBER, as consumerd status -v shows them")
    number = int(match["slot"])
    worker, slot = pool.workers.get(number), pool.observed.slots.get(number)
    if worker is None or worker.pid is None or slot is None or worker.has_ended():
        raise UsageError(f"{pool.consumer} has no worker {number} now")
    if slot.condemned is not None:
        raise UsageError(f"{name} is being replaced, and its stacks are kept: see its last end in consumerd status")
    return worker, pool
