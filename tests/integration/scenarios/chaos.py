"""The chaos run: random faults and random acts of operators, several a second, on one pool of numbered rows.

`make chaos` is the whole run, of ten minutes; the tests have a short one. What is done when is drawn from the seed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from consumerd.errors import ConsumerdError
from integration.scenarios.numbered_pool import (
    LONGEST_FREEZE_S,
    POOL,
    NumberedPool,
    Report,
    exit_code,
    own_directory,
)
from integration.scenarios.processes import process_number

TICK_S = 0.05


class Chaos:
    """One run on a pool; between two faults its table is kept filled."""

    def __init__(self, directory: Path, *, workers: int, seed: int) -> None:
        self._pool = NumberedPool(directory, workers)
        self._random = random.Random(seed)
        self._frozen: dict[int, float] = {}
        self._killed: set[int] = set()
        self._were_frozen: set[int] = set()

    def run(self, seconds: float, *, faults_a_second: float) -> Report:
        with self._pool.started(killed=self._killed, frozen=self._were_frozen):
            next_fault = time.monotonic()
            end = next_fault + seconds
            while (now := time.monotonic()) < end:
                self._thaw(now)
                self._pool.fill()
                self._pool.sample()
                if now >= next_fault:
                    next_fault = now + self._random.expovariate(faults_a_second)
                    self._do_something()
                time.sleep(max(0.0, min(TICK_S, next_fault - time.monotonic())))
            self._thaw(float("inf"))
        return self._pool.report

    def _do_something(self) -> None:
        acts = {
            self._kill: 30,
            self._freeze: 8,
            self._terminate: 10,
            self._scale: 10,
            self._pause: 8,
            self._reload: 12,
            self._restart: 4,
            self._kill_zygote: 2,
        }
        act = self._random.choices(list(acts), list(acts.values()))[0]
        name = act.__name__.strip("_")
        try:
            act()
        except ConsumerdError as error:
            self._pool.report.refused[f"{name}: {error}"] += 1
        else:
            self._pool.report.done[name] += 1

    # Faults

    def _kill(self) -> None:
        if pid := self._any_worker():
            self._note(self._killed, pid)
            _signal(pid, signal.SIGKILL)

    def _terminate(self) -> None:
        if pid := self._any_worker():
            _signal(pid, signal.SIGTERM)

    def _freeze(self) -> None:
        """Some go on before the watchdog replaces them, some later, if they are still there."""
        if pid := self._any_worker():
            self._note(self._were_frozen, pid)
            self._frozen[pid] = time.monotonic() + self._random.uniform(0.2, LONGEST_FREEZE_S)
            _signal(pid, signal.SIGSTOP)

    def _thaw(self, now: float) -> None:
        for pid in [pid for pid, until in self._frozen.items() if now >= until]:
            del self._frozen[pid]
            _signal(pid, signal.SIGCONT)

    def _kill_zygote(self) -> None:
        if pid := self._pool.pool()["zygote"]["pid"]:
            _signal(pid, signal.SIGKILL)

    def _note(self, processes: set[int], pid: int) -> None:
        """Before something is done to it: what becomes of it from now on is explained."""
        with contextlib.suppress(ProcessLookupError):
            processes.add(process_number(pid))

    def _any_worker(self) -> int | None:
        pids = [worker["pid"] for worker in self._pool.pool()["workers"]]
        found = [pid for pid in pids if pid is not None and pid not in self._frozen]
        return self._random.choice(found) if found else None

    # Acts of operators

    def _scale(self) -> None:
        self._pool.call("scale", target=POOL, workers=self._some_workers())

    def _pause(self) -> None:
        self._pool.call("pause" if self._random.random() < 0.5 else "resume", target=POOL)

    def _restart(self) -> None:
        self._pool.call("restart", target=POOL)

    def _reload(self) -> None:
        """Nothing new, what concerns the master alone, a live key, or a new edition; once in a while a mistake."""
        configured = self._pool.configured
        key = self._random.choice(["", "max_unavailable", "tint", "color", "workers", "mistake"])
        if key == "mistake":
            (self._pool.directory / "config.json").write_text("{")
            with contextlib.suppress(ConsumerdError):
                self._pool.call("reload")
        elif key == "workers":
            configured[key] = self._some_workers()
        elif key:
            configured[key] = configured[key] % 4 + 1
        self._pool.configure()
        if key != "mistake":
            self._pool.call("reload")

    def _some_workers(self) -> int:
        return self._random.randint(self._pool.workers // 2, self._pool.workers)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--faults", type=float, default=4.0, help="a second")
    options = parser.parse_args(arguments)
    directory = own_directory(tempfile.mkdtemp(prefix="consumerd-chaos-"), f"seed {options.seed}")
    run = Chaos(directory, workers=options.workers, seed=options.seed)
    return exit_code(run.run(options.minutes * 60, faults_a_second=options.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
