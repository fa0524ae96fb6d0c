"""The demo from its first step to its balance: produce, run, watch, kill one, watch, stop, strike the balance."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from consumerd import clock
from consumerd.demo.balance import Balance, strike
from consumerd.demo.books import count_tasks, read_books
from consumerd.demo.grants import Grants, opened
from consumerd.demo.logins import POISON, Login
from consumerd.demo.progress import Kill, Progress, choose_victim, with_replacement
from consumerd.demo.running import RunningMaster
from consumerd.demo.snapshot import Snapshot, WorkerSight, parse_status
from consumerd.demo.view import View
from consumerd.demo.workspace import Workspace
from consumerd.errors import ConsumerdError

LOOK_EVERY_S = 0.05
PATIENCE_S = 120.0
"""How long the demo watches before it stops and says what is missing."""


class Interruption:
    """SIGINT, SIGTERM and SIGHUP, recorded; the demo looks at each turn and stops what it started."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Record signals until the end of the block."""
        before = {
            number: signal.signal(number, self._record) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.number = number


@dataclass(frozen=True)
class Demo:
    """One demo on one workspace, whose tasks are produced and whose configuration is written."""

    workspace: Workspace
    logins: tuple[Login, ...]
    view: View
    interruption: Interruption

    def run(self) -> Balance | None:
        """Run it to its balance; None where it was interrupted. Either way nothing that it started is left running."""
        with RunningMaster(self.workspace) as master, opened(self.workspace.grants) as grants, self.view:
            self.view.say(f"the master runs, pid {master.pid}")
            last = self._watch(master, grants)
            if self.interruption.number is not None:
                return None
            self.view.say("SIGTERM to the master")
            exit_code = master.stop()
            self.view.say(f"the master and its workers have left, exit code {exit_code}")
        return self._balance(last, exit_code)

    def _watch(self, master: RunningMaster, grants: Grants) -> Progress:
        """Look again and again, and kill one worker half-way; the last look."""
        started = clock.monotonic()
        produced = len(self.logins) + len(POISON)
        progress = Progress(0.0, produced, done=0, parked=0, pending=produced)
        while not self._is_over(progress):
            progress = self._look(master, grants, replace(progress, elapsed_s=clock.monotonic() - started))
            self.view.show(progress)
            victim = choose_victim(progress)
            if victim is not None:
                progress = replace(progress, kill=self._kill(victim, progress.elapsed_s))
            clock.SYSTEM_CLOCK.sleep(LOOK_EVERY_S)
        return progress

    def _is_over(self, progress: Progress) -> bool:
        if self.interruption.number is not None or progress.is_finished:
            return True
        if progress.elapsed_s > PATIENCE_S:
            self.view.say(f"not finished after {PATIENCE_S:g} s: stopping")
            return True
        return False

    def _look(self, master: RunningMaster, grants: Grants, before: Progress) -> Progress:
        snapshot = self._snapshot(master)
        kill = before.kill
        if kill is not None and kill.replaced_by is None:
            kill = with_replacement(kill, snapshot, before.elapsed_s)
            if kill.replaced_by is not None:
                self.view.say(
                    f"worker {kill.slot} runs again: pid {kill.replaced_by}, {kill.after_s:.2f} s later", "green"
                )
        done, counts = grants.count(), count_tasks(self.workspace)
        return replace(before, done=done, parked=counts.parked, pending=counts.pending, snapshot=snapshot, kill=kill)

    def _snapshot(self, master: RunningMaster) -> Snapshot | None:
        document = master.status()
        if document is None:
            return None
        snapshot = parse_status(document)
        if snapshot.is_failed:
            raise ConsumerdError(f"{'; '.join(snapshot.problems)}: see {self.workspace.log}")
        return snapshot

    def _kill(self, victim: WorkerSight, now_s: float) -> Kill | None:
        """SIGKILL to a worker; None where it was faster."""
        assert victim.pid is not None
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.view.say(f"half-way: SIGKILL to worker {victim.slot}, pid {victim.pid}, with a task in its hands", "red")
        return Kill(victim.slot, victim.pid, victim.generation, now_s, victim.handled)

    def _balance(self, last: Progress, exit_code: int) -> Balance:
        killed = frozenset() if last.kill is None else frozenset({last.kill.pid})
        balance = strike(read_books(self.workspace, logins=self.logins, poison=POISON, killed_pids=killed))
        if exit_code != 0:
            return replace(balance, problems=(*balance.problems, f"the master left with exit code {exit_code}"))
        return balance
