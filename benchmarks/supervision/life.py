"""The life of a tree of many workers: started, at rest, stopped; ours and a peer's alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.proc import pss_bytes, running_ns, tree
from benchmarks.running import Running

STARTS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Rest:
    """A tree at rest. CPU milliseconds a second, and PSS in bytes; by process: the supervisor, then those below it."""

    cpu_ms_per_s: tuple[float, ...]
    pss_bytes: tuple[int, ...]

    @property
    def tree_ms_per_s(self) -> float:
        return sum(self.cpu_ms_per_s)

    @property
    def tree_bytes(self) -> int:
        return sum(self.pss_bytes)


@dataclass(frozen=True)
class Life:
    """start_s: from the execution of the supervisor until the last worker was in its loop; stop_s: from SIGTERM until
    nothing of it was left."""

    start_s: float
    rest: Rest
    stop_s: float


def lived(running: Running, await_start: Callable[[Running], float], *, settle_s: float, rest_s: float) -> Life:
    """Wait for its start, look at its rest for so long once it has settled, and stop it."""
    start_s = await_start(running)
    time.sleep(settle_s)
    rest = at_rest(running.process.pid, rest_s)
    return Life(start_s, rest, running.stop(tree(running.process.pid)[1:]))


def all_told(workers: int) -> Callable[[Running], float]:
    """A start that is over when so many workers have told of themselves."""

    def await_start(running: Running) -> float:
        hellos = running.hellos.gather(workers, STARTS_WITHIN_S)
        return (max(hello.at_ns for hello in hellos) - running.begun_ns) / 1e9

    return await_start


def at_rest(pid: int, seconds: float) -> Rest:
    """What a tree costs in so many seconds in which it has nothing to do."""
    pids = tree(pid)
    begun, before = time.monotonic(), _running_ns(pids)
    time.sleep(seconds)
    spent, passed_s = _running_ns(pids), time.monotonic() - begun
    rates = (1e3 * (spent[pid] - before[pid]) / 1e9 / passed_s for pid in pids)
    return Rest(tuple(rates), tuple(map(pss_bytes, pids)))


def _running_ns(pids: Iterable[int]) -> dict[int, int]:
    return {pid: running_ns(pid) for pid in pids}
