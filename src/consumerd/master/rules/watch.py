"""The watch, pure: from what is seen of a worker, look after look, to whether it is stuck. Runs in the master.

Three things are a fault, each dated by looks (`wire.standing`): an attempt that does not end, a process that is stopped
(state `T`), a loop that takes no turn though no handler runs. What happens then is `history`'s and `plan`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from consumerd.wire.board import ASKED, FAILED, FLAGS, HANDLED, PARKED, Lane, Reading, WorkerState, reading_in
from consumerd.wire.standing import Standing, standing

STALLED_AFTER_S = 15.0
"""So long into an attempt, a worker counts as stalled."""

NO_TURN_S = 30.0
"""A loop that has taken no turn for so long, and is in no handler, counts as stalled."""

SCAN_BUSY_S, SCAN_IDLE_S = 1.0, 5.0
"""How often the boards of a pool are looked at, while any of its workers is busy or stands still, and otherwise."""

HELD_UP_S = 2.0
"""A loop that runs several tasks turns more often. Else one of them holds it up, and nobody knows which."""

LATE_S = 2.0
"""A look that comes later than planned by more than this was not possible earlier: master and workers were frozen."""


class Why(StrEnum):
    """Why a worker is stuck.

    task: an attempt does not end.
    stopped: its process was stopped by a signal.
    loop: it takes no turn outside the handler.
    """

    TASK = "task"
    STOPPED = "stopped"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known of one worker.

    standing: since when its board stands as it does, as of the last look.
    seen_at: when that was.
    stopped_since: the first look at which its process was stopped.
    """

    standing: Standing
    seen_at: float
    stopped_since: float | None = None

    @property
    def is_still(self) -> bool:
        """Whether it stood the same at the look before."""
        return self.standing.since_s < self.seen_at

    @property
    def is_idling(self) -> bool:
        """Whether it went on since the look before, and has nothing to do: there is nothing to judge."""
        return not (self.standing.is_busy or self.is_still) and self.stopped_since is None

    @property
    def is_at_work(self) -> bool:
        """Whether it is busy, or has a reason to fetch nothing, as what is away."""
        return self.standing.is_busy or self.standing.words[FLAGS] != 0

    @property
    def finished(self) -> int:
        """How many tasks it has handled, failed or parked, or put off because their handlers asked for it."""
        words = self.standing.words
        return words[HANDLED] + words[FAILED] + words[ASKED] + words[PARKED]

    @property
    def reading(self) -> Reading:
        """What its board said."""
        return reading_in(self.standing.words)


@dataclass(frozen=True, slots=True)
class Stuck:
    """Why a worker makes no progress, and since when.

    is_overdue: it has to be replaced.
    lane: the attempt that does not end; None where that is not known, or no handler runs.
    row: the id of its task, where that says more than an offset: of a table's row, its key is in it.
    """

    why: Why
    since_s: float
    is_overdue: bool
    lane: Lane | None = None
    row: str | None = None

    @property
    def shard(self) -> int | None:
        return None if self.lane is None else self.lane.shard

    @property
    def offset(self) -> int | None:
        return None if self.lane is None else self.lane.cursor

    def told(self, now: float) -> str:
        """In words, without a subject: `has been on offset 3 of shard 0 for 20 s`."""
        for_s = f"for {now - self.since_s:.0f} s"
        match self.why:
            case Why.TASK if self.offset is not None:
                return f"has been on {self.row or f'offset {self.offset} of shard {self.shard}'} {for_s}"
            case Why.TASK:
                return f"has been on one task {for_s}"
            case Why.STOPPED:
                return f"has been stopped by a signal {for_s}"
            case Why.LOOP:
                return f"has taken no turn outside the handler {for_s}"

    def blame(self, timeout_s: float) -> str:
        """What is told of the task for which its worker is killed; empty where that is another's fault."""
        return f"ran longer than its task_timeout of {timeout_s:g} s" if self.why is Why.TASK else ""


def seen(
    before: Observation | None, words: list[int], now: float, *, is_stopped: bool, planned_s: float
) -> Observation:
    """After one more look. planned_s: how long after the last one this was to come."""
    unseen_s = 0.0 if before is None else now - before.seen_at - planned_s
    unseen_s = unseen_s if unseen_s > LATE_S else 0.0
    earlier = None if before is None else before.standing
    stopped_since = None if before is None else before.stopped_since
    stopped_since = now if stopped_since is None else stopped_since + unseen_s
    stands = standing(earlier, words, now, unseen_s=unseen_s)
    return Observation(stands, now, stopped_since if is_stopped else None)


def judged(observation: Observation, timeout_s: float, *, is_waiting_free: bool = False) -> Stuck | None:
    """Whether a worker is stuck, as it was last seen.

    timeout_s: for one attempt. is_waiting_free: a user's own generator may wait for its next task for ever.
    """
    reading, now, since_s = observation.reading, observation.seen_at, observation.standing.since_s
    if (stopped_since := observation.stopped_since) is not None:
        alone = reading.busy[0] if len(reading.busy) == 1 else None
        return Stuck(Why.STOPPED, stopped_since, now - stopped_since >= timeout_s, alone)
    if reading.state is not WorkerState.RUNNING:
        return None
    if (oldest := observation.standing.oldest) is not None:
        number, since_s = oldest
        is_held_up = len(reading.busy) > 1 and now - reading.turned_ns / 1e9 >= min(HELD_UP_S, timeout_s)
        is_stalled = now - since_s >= min(STALLED_AFTER_S, timeout_s)
        lane = None if is_held_up else reading.lanes[number]
        return Stuck(Why.TASK, since_s, now - since_s >= timeout_s, lane) if is_stalled else None
    if is_waiting_free or now - since_s < NO_TURN_S:
        return None
    return Stuck(Why.LOOP, since_s, now - since_s >= max(NO_TURN_S, timeout_s))


def scan_every_s(observations: list[Observation]) -> float:
    """How soon to look at a pool again."""
    is_quiet = all(not observation.standing.is_busy and not observation.is_still for observation in observations)
    return SCAN_IDLE_S if is_quiet else SCAN_BUSY_S
