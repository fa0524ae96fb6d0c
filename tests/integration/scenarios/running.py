"""`consumerd run` as a person would have it: a process of its own, spoken to with the verbs of the command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.waiting import wait_until

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "gop"
TESTS = ROOT / "tests"
READY_S = 60.0
VERB_S = 60.0
EXIT_S = 45.0

Answer = Any  # what a verb prints as JSON has any shape


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as `consumerd status --json` shows it."""

    consumer: str
    slot: int
    pid: int | None
    generation: int
    state: str
    flags: tuple[str, ...]

    @property
    def is_running(self) -> bool:
        return self.state == "running" and self.pid is not None

    def replaces(self, before: Slot) -> bool:
        """Whether a later process runs in the same slot."""
        is_same = (self.consumer, self.slot) == (before.consumer, before.slot)
        return is_same and self.is_running and self.pid != before.pid and self.generation > before.generation


def environment(**more: str) -> dict[str, str]:
    """The environment of every process of a scenario: the example and the scenarios' own consumers can be imported."""
    path = os.pathsep.join([str(EXAMPLE), str(TESTS)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


class Running:
    """One master, and the verbs that reach it. `log` holds all that it and its children wrote."""

    def __init__(self, process: subprocess.Popen[bytes], *, state_dir: Path, log: Path, env: Mapping[str, str]) -> None:
        self.process = process
        self.log = log
        self.state_dir = state_dir
        self._env = dict(env)

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run one verb to its end, whatever its exit code."""
        command = [sys.executable, "-m", "consumerd", *arguments, "--state-dir", str(self.state_dir)]
        return subprocess.run(command, env=self._env, capture_output=True, timeout=VERB_S, check=False)

    def answer(self, *arguments: str) -> Answer:
        """What a verb prints as JSON; it must succeed."""
        done = self.verb(*arguments, "--json")
        assert done.returncode == 0, f"consumerd {' '.join(arguments)}: {done.stderr.decode()}{self.tail()}"
        return json.loads(done.stdout)

    def status(self) -> Answer:
        """`consumerd status --json`."""
        return self.answer("status")

    def slots(self) -> list[Slot]:
        """All slots of all pools; none while no master answers."""
        done = self.verb("status", "--json")
        if done.returncode != 0:
            return []
        return list(_slots(json.loads(done.stdout)))

    def running_slot(self, number: int) -> Slot | None:
        """The slot with this number, where one pool runs; None while it is not running."""
        return next((slot for slot in self.slots() if slot.slot == number and slot.is_running), None)

    def kill_worker(self, slot: Slot) -> None:
        """SIGKILL to the worker in this slot, which must be alive; until another process runs in its place."""
        assert slot.pid is not None
        kill(slot.pid)
        wait_until(
            lambda: any(other.replaces(slot) for other in self.slots()),
            deadline_s=READY_S,
            message=lambda: f"another process in slot {slot.slot}, after {slot.pid}{self.tail()}",
        )

    def parked(self) -> list[Answer]:
        """`consumerd parked list --json`, all of it."""
        tasks: list[Answer] = self.answer("parked", "list", "--limit", "100000")["tasks"]
        return tasks

    def wait_until_ready(self, workers: int) -> None:
        """Until so many slots are running."""
        wait_until(
            lambda: self._running_slots() == workers,
            deadline_s=READY_S,
            message=lambda: f"{workers} running workers, now {self._running_slots()}{self.tail()}",
        )

    def stop(self) -> int:
        """SIGTERM to the master; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(EXIT_S)

    def descendants(self) -> set[int]:
        """The live pids of the session that the master leads: itself, and all that it or its children started."""
        return {pid for pid in _pids() if _session(pid) == self.process.pid and _state(pid) not in "ZX"}

    def kill_all(self) -> None:
        """The end of a scenario, however it ended."""
        while self.descendants():
            for pid in self.descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        self.process.wait(EXIT_S)  # killed, perhaps, and not reaped yet

    def tail(self, lines: int = 30) -> str:
        """The end of the log, for a message of a test that failed."""
        return "\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _running_slots(self) -> int:
        assert self.process.poll() is None, f"the master has left with {self.process.returncode}{self.tail()}"
        return sum(slot.is_running for slot in self.slots())


@contextlib.contextmanager
def running(
    config: str, *, state_dir: Path, log: Path, env: Mapping[str, str], parking: str = "embedded"
) -> Iterator[Running]:
    """A master on `config`; it and all its children are gone afterwards."""
    options = ["--state-dir", str(state_dir), "--parking", parking]
    command = [sys.executable, "-m", "consumerd", "run", config, *options]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=dict(env), stdout=output, stderr=output, start_new_session=True)
    master = Running(process, state_dir=state_dir, log=log, env=env)
    try:
        yield master
    finally:
        master.kill_all()


def kill(pid: int) -> None:
    """SIGKILL to a process that lives: a zombie or a pid that nobody has fails the test."""
    assert _state(pid) in "RSD", f"{pid} is no live process"
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _state(pid) in "ZX", deadline_s=10, message=f"the end of {pid}")


def _slots(status: Answer) -> Iterator[Slot]:
    for pool in status["pools"]:
        for worker in pool["workers"]:
            yield Slot(
                consumer=pool["name"],
                slot=worker["slot"],
                pid=worker["pid"],
                generation=worker["generation"],
                state=worker["state"],
                flags=tuple(worker.get("flags", ())),
            )


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, group, session …; `X` where there is no process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "0", "0", "0"]


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _session(pid: int) -> int:
    return int(_stat(pid)[3])
