"""The flow of a pool, pure: whether tasks wait in a shard and nobody gets them. Runs in the master.

A worker measures the lag now and then. A shard is stalled when tasks wait in it, its position has not moved for a
while, and no worker of the pool has done anything: then the source has fallen silent. A busy worker may rightly be
working off another shard first. A worker that is replaced joins its source anew, which often helps; where it does not,
the next is replaced later and later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SHARD_STALLED_AFTER_S = 15.0
REPLACE_AFTER_S = 60.0
"""A shard that has been stalled for so long costs a worker. A client may be silent for a whole session timeout."""

LONGEST_PAUSE_S = 3600.0
OLD_LAG_S = 30.0
"""A lag that was measured longer ago says nothing."""


@dataclass(frozen=True, slots=True)
class MeasuredLag:
    """The lag as a worker told it last.

    shards: (shard, tasks, oldest_s, position) of each.
    heard_at: when it was told, monotonic.
    later: how many more tasks have a time that has not come.
    complaints: sentences on tasks that nobody can take.
    blocked: the shards of which no task can come now: no worker has fallen silent there.
    clock_ahead_s: by how much the clock of its database is ahead of this host's, where that is known.
    """

    shards: tuple[tuple[int, int, float | None, int], ...]
    heard_at: float
    later: int = 0
    complaints: tuple[str, ...] = ()
    blocked: frozenset[int] = frozenset()
    clock_ahead_s: float | None = None

    @property
    def tasks(self) -> int:
        """How many wait, in all shards."""
        return sum(tasks for _, tasks, _, _ in self.shards)


@dataclass(frozen=True, slots=True)
class Flow:
    """How tasks flow from a pool's source, look after look.

    done: how many tasks the pool has handled, failed or parked, or put off because their handlers asked for it.
    idle_since_s: when it last made progress, or showed a sign of work.
    shards: those in which tasks wait; the position of each, and since when it stands there.
    heard_at: when that was last measured.
    replaced: how many workers have been replaced because of a silent source.
    not_before_s: when the next one may be replaced.
    """

    done: int
    idle_since_s: float
    shards: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    heard_at: float = 0.0
    replaced: int = 0
    not_before_s: float = 0.0

    def stalled(self, now: float) -> Mapping[int, float]:
        """The stalled shards, each with since when."""
        if now - self.idle_since_s < SHARD_STALLED_AFTER_S or now - self.heard_at >= OLD_LAG_S:
            return {}
        return {
            shard: max(since_s, self.idle_since_s)
            for shard, (_, since_s) in self.shards.items()
            if self.heard_at - since_s >= SHARD_STALLED_AFTER_S
        }

    def must_replace(self, now: float) -> bool:
        """Whether a worker has to be replaced now."""
        is_long = any(now - since_s >= REPLACE_AFTER_S for since_s in self.stalled(now).values())
        return is_long and now >= self.not_before_s


def flowed(before: Flow | None, lag: MeasuredLag | None, *, done: int, is_at_work: bool, now: float) -> Flow:
    """After one more look. is_at_work: a worker is busy, or has a reason to fetch nothing (a pause, what is away)."""
    flow = before or Flow(done, now)
    if flow.done != done or is_at_work:
        flow = replace(flow, done=done, idle_since_s=now)
    if lag is None:
        return flow
    waiting = {shard: position for shard, tasks, _, position in lag.shards if tasks > 0 and shard not in lag.blocked}
    standing = {shard: was for shard, was in flow.shards.items() if waiting.get(shard) == was[0]}
    shards = {shard: standing.get(shard, (position, lag.heard_at)) for shard, position in waiting.items()}
    return replace(flow, shards=shards, heard_at=lag.heard_at, replaced=flow.replaced if standing else 0)


def one_replaced(flow: Flow, now: float) -> Flow:
    """A worker is being replaced for it."""
    pause_s = min(LONGEST_PAUSE_S, REPLACE_AFTER_S * 2.0 ** min(flow.replaced, 16))
    return replace(flow, replaced=flow.replaced + 1, not_before_s=now + pause_s)
