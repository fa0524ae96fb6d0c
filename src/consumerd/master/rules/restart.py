"""The restart policy, pure: when a slot or a zygote that ended starts again. Runs in the master.

At once after the first failure; then exponentially later with full jitter ("Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), per slot, up to a cap. A worker that has proven itself makes its slot's count begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from consumerd.master.rules.observed import Slot
from consumerd.model.exits import WorkerExit, exit_code
from consumerd.model.slots import SlotState
from consumerd.wire.board import Reading

BASE_S = 0.5
CAP_S = 30.0
MOST_OF_A_SUSPECT = 4
"""As after so many failures a slot pauses at most, though the task that kills its workers has killed more: 2 s."""

PROVEN_AFTER_S = 5.0
"""How long in its loop, with a source that answers, proves a worker."""

FAILURES_THAT_TELL = 3
FAILURES_THAT_REJECT = 20
"""So many, and no task done, say so before that time: each further one would be parked for nothing."""


BUDGET_WINDOW_S = 60.0
SMALLEST_BUDGET = 5


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker's end, as far as it matters for what becomes of its slot.

    status: the wait status, None where nobody could read it.
    is_proven: see `is_proven`.
    jitter: drawn from [0, 1) by the caller.
    how: the end in words, for people.
    trace: its last traceback, if any.
    suspect_deaths: where a task that was known to kill its workers did so again, how often by now; else 0. Such an end
    says nothing of the other tasks, nor of the code.
    """

    status: int | None
    is_proven: bool
    jitter: float
    how: str = ""
    trace: str = ""
    suspect_deaths: int = 0

    @property
    def is_excused(self) -> bool:
        return self.suspect_deaths > 0


class Cause(StrEnum):
    """Why a worker has ended: a stop, a reload, a person's word; it had done its part; its source has no more; the
    master killed it, for it was stuck or late; the kernel did, for want of memory; its source, or the system, refused
    it; or anything else.
    """

    ASKED = "asked"
    RECYCLED = "recycled"
    FINISHED = "finished"
    KILLED = "killed"
    OUT_OF_MEMORY = "out of memory"
    REFUSED = "refused"
    CRASHED = "crashed"


_CAUSES: Mapping[int | None, Cause] = {
    WorkerExit.DRAINED: Cause.ASKED,
    WorkerExit.FINISHED: Cause.FINISHED,
    WorkerExit.RECYCLE: Cause.RECYCLED,
    WorkerExit.SOURCE_REFUSED: Cause.REFUSED,
    WorkerExit.SYSTEM_REFUSED: Cause.REFUSED,
    WorkerExit.DEADLINE_PASSED: Cause.KILLED,
}


def cause_of(slot: Slot, status: int | None, *, is_out_of_memory: bool) -> Cause:
    """Why the worker of a slot, as that was before, has ended with this wait status."""
    if is_out_of_memory:
        return Cause.OUT_OF_MEMORY
    if slot.condemned is not None:
        return Cause.ASKED if slot.condemned.is_asked else Cause.KILLED
    if slot.is_killed:
        return Cause.KILLED
    if slot.state is SlotState.DRAINING:
        return Cause.RECYCLED if slot.is_worn else Cause.ASKED
    return _CAUSES.get(exit_code(status), Cause.CRASHED)


def budget_of(workers: int) -> int:
    """How many unproven deaths within `BUDGET_WINDOW_S` a pool of so many workers bears, and has not failed."""
    return max(SMALLEST_BUDGET, 2 * workers)


def is_proven(loop_s: float, reading: Reading | None) -> bool:
    """Whether a worker that was `loop_s` seconds in its loop has shown that it works: by a settled task, or because its
    source has answered and nothing went wrong for a while. To wait for a source that does not answer shows nothing.
    """
    has_answered = reading is not None and reading.has_answered
    return has_settled(reading) or (has_answered and loop_s >= PROVEN_AFTER_S and not fails_all(reading))


def has_settled(reading: Reading | None) -> bool:
    """Whether a worker has settled something, and one task was done: those that fail, or are parked unrun because they
    kill workers, show nothing."""
    if reading is None or reading.handled == 0:
        return False
    return reading.has_committed or reading.handled + reading.parked - reading.given_up > reading.unsettled


def fails_all(reading: Reading | None) -> bool:
    """Whether every task that a worker has handled failed, and so many that it says something of its code."""
    return reading is not None and reading.handled == 0 and reading.failed >= FAILURES_THAT_TELL


def is_refuted(loop_s: float, reading: Reading | None) -> bool:
    """Whether a worker that has not proved itself will not any more: all that it handled failed, for long or often."""
    if not fails_all(reading):
        return False
    return loop_s >= PROVEN_AFTER_S or (reading is not None and reading.failed >= FAILURES_THAT_REJECT)


def pause_s(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row, in seconds."""
    if failures <= 1:
        return 0.0
    return jitter * min(CAP_S, BASE_S * 2.0 ** min(failures - 2, 16))
