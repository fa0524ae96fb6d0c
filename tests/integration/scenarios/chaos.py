"""The chaos run: random faults and random acts of operators, several a second, on one pool of numbered rows.

`make chaos` is the whole run, of ten minutes; the tests have a short one. What is done when is drawn from the seed. The
book of the handlers says what happened (`chaos_book`); the master is asked for nothing but pids.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.errors import ConsumerdError
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.wire.control import call
from integration.scenarios.chaos_book import complaints, read_runs, repeated
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import children, entry, open_fds, write_config
from servers.waiting import wait_until

POOL = "small/chaos"
TASK_S = 0.02
MAX_UNSETTLED = 20
BACKLOG = 2000
TASK_TIMEOUT_S = 3.0
QUIET_S = 180.0
FDS_MORE = 2


@dataclass(frozen=True, slots=True)
class Memory:
    """The master's own memory, in kB, once it had warmed up and at the end."""

    early: int
    late: int


@dataclass
class Report:
    """What a run came to. complaints: what must not be; empty where all is well."""

    seed: int
    rows: int = 0
    repeats: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    memory: Memory = Memory(0, 0)
    fds: tuple[int, int] = (0, 0)
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        memory = f"master {self.memory.early} kB early, {self.memory.late} kB late, descriptors {self.fds}"
        what = f"seed {self.seed}: {self.rows} rows, {self.repeats} repeats; {faults}; {memory}"
        return "\n".join(
            [what, *(f"refused: {count} {name}" for name, count in self.refused.items()), *self.complaints]
        )


class Chaos:
    """One run. `faults` of a second are drawn from the seed; between two of them the table is kept filled."""

    def __init__(self, directory: Path, *, workers: int, seed: int) -> None:
        self._directory = directory
        self._workers = workers
        self._random = random.Random(seed)
        self._database = str(directory / "rows.sqlite")
        self._configured: dict[str, Any] = {"color": 0, "tint": 0, "max_unavailable": 2}
        self._frozen: dict[int, float] = {}
        self._report = Report(seed)
        self._killed: set[int] = set()
        self._were_frozen: set[int] = set()
        create_table(self._database)
        self._configure()

    def run(self, seconds: float, *, faults_a_second: float) -> Report:
        config, state_dir = str(self._directory / "config.json"), self._directory / "state"
        with running(config, state_dir=state_dir, log=self._directory / "log", env=environment()) as master:
            self._master = master
            self._fill()
            master.wait_until_ready(self._workers)
            fds_before = open_fds(master.process.pid)
            end, next_fault, samples = time.monotonic() + seconds, time.monotonic(), []
            while (now := time.monotonic()) < end:
                self._thaw(now)
                self._fill()
                if now >= next_fault:
                    next_fault = now + self._random.expovariate(faults_a_second)
                    self._do_something(now)
                samples.append(own_kb(master.process.pid))
                time.sleep(max(0.0, min(0.05, next_fault - time.monotonic())))
            self._be_quiet()
            self._report.fds = fds_before, open_fds(master.process.pid)
            self._report.memory = Memory(samples[len(samples) // 5], own_kb(master.process.pid))
            self._judge(master)
        return self._report

    # Faults and acts

    def _do_something(self, now: float) -> None:
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
            done = act(now) if act == self._freeze else act()  # type: ignore[call-arg]
        except ConsumerdError as error:
            self._report.refused[f"{name}: {error}"] += 1
        else:
            self._report.faults[name] += done is not False

    def _kill(self) -> bool:
        return self._signal(signal.SIGKILL, self._killed)

    def _terminate(self) -> bool:
        return self._signal(signal.SIGTERM, set())

    def _freeze(self, now: float) -> bool:
        """Some go on before the watchdog replaces them, some later, if they are still there."""
        frozen: set[int] = set()
        is_done = self._signal(signal.SIGSTOP, frozen)
        for pid in frozen:
            self._frozen[pid] = now + self._random.uniform(0.2, 2 * TASK_TIMEOUT_S)
            self._were_frozen.add(pid)
        return is_done

    def _signal(self, number: signal.Signals, note: set[int]) -> bool:
        pids = sorted(pid for pid in self._worker_pids() if pid not in self._frozen)
        if not pids:
            return False
        pid = self._random.choice(pids)
        note.add(pid)  # before: what it does from now on is explained
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def _thaw(self, now: float) -> None:
        for pid in [pid for pid, until in self._frozen.items() if now >= until]:
            del self._frozen[pid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _scale(self) -> None:
        self._call("scale", target=POOL, workers=self._random.randint(self._workers // 2, self._workers))

    def _pause(self) -> None:
        self._call("pause" if self._random.random() < 0.5 else "resume", target=POOL)

    def _reload(self) -> None:
        """Nothing new, what concerns the master alone, a live key, or a new edition; once in a while a mistake."""
        key = self._random.choice(["", "max_unavailable", "tint", "color", "workers", "mistake"])
        if key == "workers":
            self._configured["workers"] = self._random.randint(self._workers // 2, self._workers)
        elif key == "mistake":
            (self._directory / "config.json").write_text("{")
            with contextlib.suppress(ConsumerdError):
                self._call("reload")
            self._configure()
            return
        elif key:
            self._configured[key] = self._configured[key] % 4 + 1
        self._configure()
        self._call("reload")

    def _restart(self) -> None:
        self._call("restart", target=POOL)

    def _kill_zygote(self) -> bool:
        pid = self._pool()["zygote"]["pid"]
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    # The run

    def _configure(self) -> None:
        configs = {
            "workers": self._workers,
            "book": str(self._directory / "book"),
            "task_s": TASK_S,
            "database": self._database,
            "batch_size": 10,
            "max_unsettled": MAX_UNSETTLED,
            "settle_interval": 0.2,
            "task_timeout": TASK_TIMEOUT_S,
            **self._configured,
        }
        pool = entry("ChaosRows", module="integration.scenarios.chaos_rows", **configs) | {"name": "chaos"}
        write_config(self._directory, pool)

    def _fill(self) -> None:
        if self._pending() < BACKLOG // 2:
            first = self._report.rows
            self._report.rows += enqueue(self._database, ({"number": first + more} for more in range(BACKLOG)))

    def _pending(self) -> int:
        return self._count("state <> 'done'")

    def _count(self, where: str) -> int:
        with contextlib.closing(sqlite3.connect(self._database, timeout=30)) as connection:
            found: int = connection.execute(f"SELECT count(*) FROM tasks WHERE {where}").fetchone()[0]
        return found

    def _be_quiet(self) -> None:
        """Undo what lasts, and wait until every row is done and every slot is back."""
        self._thaw(float("inf"))
        self._call("resume", target=POOL)
        self._call("scale", target=POOL, workers=self._workers)
        wait_until(lambda: self._pending() == 0, QUIET_S, lambda: f"{self._pending()} rows{self._master.tail()}")
        self._wait_all_run()

    def _wait_all_run(self) -> None:
        def all_run() -> bool:
            workers = self._pool()["workers"]
            return sum(worker["state"] == "running" for worker in workers) == len(workers) == self._workers

        wait_until(all_run, QUIET_S, lambda: f"{self._workers} workers{self._master.tail()}")

    def _pool(self) -> Any:
        [pool] = self._call("status")["pools"]
        return pool

    def _worker_pids(self) -> Iterator[int]:
        return (worker["pid"] for worker in self._pool()["workers"] if worker["pid"] is not None)

    def _call(self, method: str, **params: object) -> Any:
        return call(self._master.state_dir / "control.sock", method, params, timeout_s=30)

    def _judge(self, master: Running) -> None:
        report, pid = self._report, master.process.pid
        zombies = [child for child in children(pid) if _state(child) == "Z"]
        report.complaints += [f"{child} is a zombie" for child in zombies]
        report.complaints += [f"{task['id']} is parked: {task['error']}" for task in master.parked()]
        before, after = report.fds
        if after > before + FDS_MORE:
            report.complaints.append(f"the master has {after} descriptors, and had {before}")
        own = master.descendants()
        if code := master.stop():
            report.complaints.append(f"the master left with {code}")
        report.complaints += [f"process {left} is left" for left in master.descendants() & own]
        runs = read_runs((self._directory / "book").read_text().splitlines())
        report.repeats = repeated(runs)
        report.complaints += complaints(
            runs, range(report.rows), killed=self._killed, frozen=self._were_frozen, most_repeats=MAX_UNSETTLED
        )
        log = master.log.read_text(errors="replace")
        report.complaints += sorted(set(re.findall(r"Traceback.*|\"event\": \"(?:worker|zygote)_broken\".*", log)))


def own_kb(pid: int) -> int:
    """The anonymous memory of a process, in kB: what it alone has."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _state(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return ""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--faults", type=float, default=4.0, help="a second")
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="consumerd-chaos-"))
    print(f"seed {options.seed}, in {directory}", flush=True)
    run = Chaos(directory, workers=options.workers, seed=options.seed)
    report = run.run(options.minutes * 60, faults_a_second=options.faults)
    print(report)
    return 1 if report.complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
