"""Suspects, pure: what the deaths of workers say of the tasks that they were running. Runs in the master.

What ran in it is suspected; what it had in hand and had not begun is not. A death counts against a task that ran alone.
Where several ran, nobody knows yet whose it is: each is run alone by whoever gets it next, and counted from then on.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from consumerd.model.exits import WorkerExit
from consumerd.model.slots import MOST_LANES
from consumerd.model.suspects import CANCELLED_FOR_GOOD, Suspect
from consumerd.model.task import TaskId
from consumerd.wire.figures.stacks import handler_first

KILLS_A_CRASH = 10
"""So many SIGKILLs of nobody's, one after the other, count as one crash: somebody else's doing hits the same task
that often only by its own fault."""

MOST = MOST_LANES
"""More suspects are not kept: every worker is told all of them. One worker that dies has no more."""

KEPT_S = 3600.0
"""A suspect that killed nobody for so long is forgotten here: it was settled before its worker died, or waits
elsewhere. What was written down of it is in the store."""

MOST_STACKS, STACKS_CHARACTERS = 16, 16_000

_FROM_ELSEWHERE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_OF_THE_WORKER = frozenset(WorkerExit) - {WorkerExit.DRAINED, WorkerExit.FINISHED}
"""Codes with which a worker ends of its own accord. With a task in flight it neither drains nor finishes: a handler
that exits 0 or 10 has ended its worker."""


class Verdict(Enum):
    """What one death says of the task: nothing; that it kills; or perhaps, for anybody may have sent the signal."""

    NOTHING = auto()
    CRASH = auto()
    KILL = auto()


def judge(exit_code: int | None, *, is_asked: bool, is_ours: bool, is_out_of_memory: bool) -> Verdict:
    """What the end of a worker with a task in flight says of that task.

    exit_code: minus the signal, None where nobody could read it. is_asked: the worker was asked to leave; is_ours: the
    master killed it; is_out_of_memory: the kernel did.
    """
    if exit_code is None:
        return Verdict.KILL
    if -exit_code in _FROM_ELSEWHERE:
        if is_asked:
            return Verdict.NOTHING
        return Verdict.CRASH if is_ours or is_out_of_memory else Verdict.KILL
    return Verdict.NOTHING if exit_code in _OF_THE_WORKER else Verdict.CRASH


@dataclass(frozen=True, slots=True)
class Deaths:
    """The deaths of the workers that were running one task, one after the other.

    earlier: crashes that others have counted before (another host, an earlier master).
    crashes: those that count.
    kills: those that anybody may have caused.
    ends: how often, by how they ended.
    last_at: when the last one was, on the monotonic clock.
    stacks: of the worker that was killed last because the task did not end.
    """

    earlier: int = 0
    crashes: int = 0
    kills: int = 0
    ends: Mapping[str, int] = field(default_factory=dict)
    last_at: float = 0.0
    stacks: str = ""

    @property
    def counted(self) -> int:
        return self.earlier + self.crashes + self.kills // KILLS_A_CRASH

    @property
    def total(self) -> int:
        return self.earlier + self.crashes + self.kills

    def described(self) -> str:
        """`2 × SIGSEGV, exit 3`"""
        if CANCELLED_FOR_GOOD in self.ends:
            return CANCELLED_FOR_GOOD
        ends = [how if times == 1 else f"{times} × {how}" for how, times in self.ends.items()]
        return ", ".join([f"{self.earlier} earlier", *ends] if self.earlier else ends)


@dataclass(frozen=True, slots=True)
class Suspects:
    """The suspects of one pool; who was met last stands last."""

    deaths: Mapping[TaskId, Deaths] = field(default_factory=dict)

    def after(
        self,
        task_id: TaskId,
        verdict: Verdict,
        how: str,
        now: float,
        *,
        known: int,
        is_alone: bool = True,
        stacks: str = "",
    ) -> Suspects:
        """After one more death.

        known: how many crashes the dead worker knew of; perhaps not by us.
        is_alone: no other task ran in it.
        stacks: where it was killed because the task did not end.
        """
        if verdict is Verdict.NOTHING:
            return self
        before = self.deaths.get(task_id, Deaths())
        how = how if is_alone else f"{how} beside others"
        after = replace(
            before,
            earlier=before.earlier + max(0, known - before.counted),
            crashes=before.crashes + (is_alone and verdict is Verdict.CRASH),
            kills=before.kills + (is_alone and verdict is Verdict.KILL),
            ends={**before.ends, how: before.ends.get(how, 0) + 1},
            last_at=now,
            stacks=handler_first(stacks, STACKS_CHARACTERS // 2)[:STACKS_CHARACTERS] or before.stacks,
        )
        recent = {other: deaths for other, deaths in self.deaths.items() if deaths.last_at > now - KEPT_S}
        others = {other: deaths for other, deaths in recent.items() if other != task_id}
        while len(others) >= MOST:
            del others[min(others, key=lambda other: others[other].counted)]
        return Suspects({**others, task_id: after})

    def given_up(self, task_id: TaskId, crash_limit: int, now: float) -> Suspects:
        """After an operator decided that a task is not to be run again."""
        given_up = Deaths(earlier=crash_limit, ends={CANCELLED_FOR_GOOD: 1}, last_at=now)
        return Suspects({**self.without(task_id).deaths, task_id: given_up})

    def without(self, task_id: TaskId) -> Suspects:
        """After a task has come to an outcome."""
        return Suspects({other: deaths for other, deaths in self.deaths.items() if other != task_id})

    def told(self) -> tuple[Suspect, ...]:
        """As the workers are told of them; with stacks the last few, for each worker is told all of it."""
        with_stacks = [task_id for task_id, deaths in self.deaths.items() if deaths.stacks][-MOST_STACKS:]
        return tuple(
            Suspect(task_id, deaths.counted, deaths.described(), deaths.stacks if task_id in with_stacks else "")
            for task_id, deaths in self.deaths.items()
        )


def is_excused(task: Deaths | None, verdict: Verdict, *, known: int, crash_limit: int) -> bool:
    """Whether a death is the known suspect's alone and says nothing of the code: no trial fails, no budget shrinks.

    task: what was known of it before; past its limit nobody should have run it.
    """
    counted = max(known, 0 if task is None else task.counted)
    is_known = task is not None or known > 0
    return is_known and verdict is not Verdict.NOTHING and counted < crash_limit
