"""Autoscaling, pure: how many workers a pool should have, from how far it is behind. Runs in the master.

A look is taken whenever the lag has been measured. n workers are needed where

    n × rate = arrivals + backlog / target

rate is what one worker does, measured while a backlog keeps all of them busy; arrivals is what comes in, by the growth
of the backlog and what was finished meanwhile. The number grows when two looks in a row ask for more, and shrinks by
half of what no look for four times the target's time has asked for. In between it stays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from consumerd.config.keys.worker_range import WorkerRange

MARGIN = 0.1
"""So much more than what is there has to be needed, before the number grows."""

HEADROOM = 0.25
"""So much more than what is needed is kept, when the number shrinks."""

LOOKS = 3
"""Over so many looks what comes in is compared."""

SHORTEST_REST_S, SHORTEST_QUIET_S = 5.0, 20.0

BUSY_FOR_S = 3.0
"""With a backlog for so long at both ends of a stretch, its workers were busy throughout."""

FORGET_S = 3600.0
"""A rate that cannot be measured, for want of a backlog, is believed to double in so long: else a pool whose handler
has become faster would keep its number for ever.
"""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A pool at the moment when its lag became known.

    at: monotonic.
    workers: how many are wanted now.
    running: how many of them run.
    finished: tasks so far, by all.
    behind: tasks that are not finished.
    oldest_s: the age of the oldest of those, None where it is not known.
    shards: so many workers at most the source can employ; None: any number.
    """

    at: float
    workers: int
    running: int
    finished: int
    behind: int
    oldest_s: float | None = None
    shards: int | None = None

    @property
    def employed(self) -> int:
        """How many can have something to do."""
        return self.running if self.shards is None else min(self.running, self.shards)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the looks so far come to.

    wanted: the number that the pool should have now.
    needed: what its backlog asks for, whatever is allowed.
    reason: that in a sentence.
    rate: tasks a worker does in a second, None until it was measured.
    arrivals: tasks a second that came in, before each of the last looks.
    short_since, spare_since: since when every look has asked for more, or for fewer.
    kept: the most that was asked for while every look asked for fewer.
    changed_at: when the number last became another, by whomever.
    last: the last look.
    anchor: the look since which all workers have been busy, and as many as now.
    """

    wanted: int
    needed: int
    reason: str
    rate: float | None = None
    arrivals: tuple[float, ...] = ()
    short_since: float | None = None
    spare_since: float | None = None
    kept: int = 0
    changed_at: float = -math.inf
    last: Measurement | None = None
    anchor: Measurement | None = None


def rest_s(bounds: WorkerRange) -> float:
    """So long after a change the number does not grow: what was added has to take effect."""
    return max(SHORTEST_REST_S, bounds.target_seconds / 2)


def quiet_s(bounds: WorkerRange) -> float:
    """So long a number must have been more than enough, and unchanged, before it shrinks."""
    return max(SHORTEST_QUIET_S, bounds.target_seconds * 4)


def judge(before: Judgement | None, look: Measurement, bounds: WorkerRange) -> Judgement:
    """What is wanted after another look; `before` is None with the first one."""
    now = before or Judgement(look.workers, look.workers, "")
    if now.last is not None and now.last.workers != look.workers:  # what was asked for was about the former number
        now = replace(now, changed_at=look.at, short_since=None, spare_since=None, kept=0)
    now = _measured(now, look, bounds)
    more, fewer = _needed(now, look, bounds, is_cautious=False), _needed(now, look, bounds, is_cautious=True)
    most, least = _useful(more, look, bounds), _useful(fewer, look, bounds)
    is_too_little = more > look.workers * (1 + MARGIN)
    is_spare = least < look.workers and not _is_late(look, bounds)
    asked = more if is_too_little else (fewer if is_spare else look.workers)
    now = replace(
        now,
        needed=max(1, math.ceil(asked)),
        short_since=_since(now.short_since, look.at, holds=is_too_little and most > look.workers),
        spare_since=_since(now.spare_since, look.at, holds=is_spare),
        kept=max(now.kept, least) if is_spare else 0,
    )
    return replace(now, wanted=_wanted(now, look, bounds, goal=most), reason=_sentence(now, look, bounds))


def interrupted(before: Judgement) -> Judgement:
    """The same where looks had to be left out: what lies between them is not to be measured."""
    return replace(before, last=None, anchor=None, arrivals=(), short_since=None, spare_since=None, kept=0)


def _measured(before: Judgement, look: Measurement, bounds: WorkerRange) -> Judgement:
    """With the rate and the arrivals as of this look."""
    last = before.last
    if last is None or look.at <= last.at:
        return replace(before, last=look, anchor=look)
    elapsed_s, finished = look.at - last.at, max(0, look.finished - last.finished)
    arrival = max(0.0, (look.behind - last.behind + finished) / elapsed_s)
    now = replace(before, arrivals=(*before.arrivals, arrival)[-LOOKS:], last=look)
    is_same = (last.workers, last.running) == (look.workers, look.running) and look.employed > 0
    if not is_same or not _are_busy(last, look, finished / elapsed_s):
        return replace(now, rate=_forgotten(before.rate, elapsed_s, finished, look), anchor=look)
    return _with_rate(now, before.anchor or last, look, bounds)


def _are_busy(last: Measurement, look: Measurement, finished_a_second: float) -> bool:
    """Whether no worker can have been idle in between: at both ends more was waiting than they could take."""
    enough = look.employed + BUSY_FOR_S * finished_a_second
    return min(last.behind, look.behind) > enough


def _with_rate(now: Judgement, anchor: Measurement, look: Measurement, bounds: WorkerRange) -> Judgement:
    """Measure since the anchor. Where not everybody has finished a task yet, the rate is that at most."""
    elapsed_s, finished = look.at - anchor.at, max(0, look.finished - anchor.finished)
    measured = max(1, finished) / elapsed_s / look.employed
    if finished < look.employed:
        return replace(now, rate=measured if now.rate is None else min(now.rate, measured), anchor=anchor)
    return replace(now, rate=measured, anchor=look if elapsed_s >= bounds.target_seconds else anchor)


def _forgotten(rate: float | None, elapsed_s: float, finished: int, look: Measurement) -> float | None:
    """A rate that was measured before, if it was; at least as much as was seen now of workers that may have idled."""
    seen = finished / elapsed_s / max(1, look.running, look.workers)
    if rate is None:
        return seen if finished > look.workers else None
    return float(max(seen, rate * 2.0 ** (elapsed_s / FORGET_S)))


def _needed(now: Judgement, look: Measurement, bounds: WorkerRange, *, is_cautious: bool) -> float:
    """So many workers work off what is behind in the target's time, beside what comes in.

    A burst that has come in is not taken for what goes on coming: of the last few arrivals, the least counts.
    is_cautious: the most, and with headroom.
    """
    if now.rate is None:
        return float(min(look.behind, look.workers))
    known = now.arrivals if len(now.arrivals) == LOOKS else (0.0, *now.arrivals)
    arrivals = max(known) if is_cautious else min(known)
    needed = (arrivals + look.behind / bounds.target_seconds) / now.rate
    return needed * (1 + HEADROOM) if is_cautious else needed


def _useful(needed: float, look: Measurement, bounds: WorkerRange) -> int:
    """As much of it as helps, within the bounds: beyond one a shard, or one a task, workers would be idle."""
    helping = math.ceil(needed)
    if look.shards is not None:
        helping = min(helping, look.shards)
    if helping > look.workers:
        helping = max(look.workers, min(helping, look.behind))
    return max(bounds.min, min(bounds.max, helping))


def _is_late(look: Measurement, bounds: WorkerRange) -> bool:
    return look.oldest_s is not None and look.behind > 0 and look.oldest_s > bounds.target_seconds


def _since(since: float | None, at: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return at if since is None else since


def _wanted(now: Judgement, look: Measurement, bounds: WorkerRange, *, goal: int) -> int:
    present = max(bounds.min, min(bounds.max, look.workers))
    if present != look.workers:
        return present
    is_rested = look.at - now.changed_at >= rest_s(bounds)
    if now.short_since is not None and (now.short_since < look.at or _is_late(look, bounds)) and is_rested:
        return goal
    if now.spare_since is not None and look.at - now.spare_since >= quiet_s(bounds):
        return present - (present - now.kept + 1) // 2
    return present


def _sentence(now: Judgement, look: Measurement, bounds: WorkerRange) -> str:
    wanted = f"{now.needed} {'worker' if now.needed == 1 else 'workers'} wanted"
    if look.shards is not None and now.needed > look.shards < bounds.max:
        return f"{wanted}, {look.shards} help: its source has {look.shards} partitions"
    if now.needed > bounds.max:
        return f"{wanted}, {bounds.max} are allowed: {_why(now, look)}"
    if now.needed < bounds.min:
        return f"{wanted}, {bounds.min} are the least: {_why(now, look)}"
    return f"{wanted}: {_why(now, look)}"


def _why(now: Judgement, look: Measurement) -> str:
    behind = f"{look.behind} {'task' if look.behind == 1 else 'tasks'} behind"
    if now.rate is None:
        return f"{behind}, and how fast a worker is has not shown yet"
    arrivals = max(now.arrivals, default=0.0)
    return f"{behind}, {arrivals:.3g}/s come in, a worker does {now.rate:.3g}/s"
