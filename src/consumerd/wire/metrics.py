"""What `metrics` answers: all numbers of a master, for whoever keeps them over time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from consumerd.wire.status import Status


class Histogram(Struct, frozen=True):
    """Of all workers since the master started, the dead ones too."""

    bounds_s: list[float]
    counts: Annotated[
        list[int], Meta(description="How many were at most so long as each bound, and longer than the one before it.")
    ]
    sum_s: float


class Outcomes(Struct, frozen=True):
    """What became of tasks that are not done. A task that is tried again is counted again."""

    retried: Annotated[int, Meta(description="They wait for their next attempt.")] = 0
    dead: int = 0
    expired: int = 0
    put_off: Annotated[int, Meta(description="They wait, and no attempt was made.")] = 0


class Ends(Struct, frozen=True):
    """How many workers ended so."""

    cause: Annotated[str, Meta(description="asked, recycled, finished, killed, out of memory, refused or crashed.")]
    end: Annotated[str, Meta(description="drained, SIGKILL, exit 3.")]
    count: int


class Destinations(Struct, frozen=True):
    """What the tasks of a consumer need, all together."""

    states: Annotated[dict[str, int], Meta(description="How many are closed, open, returning and held.")]
    waiting: Annotated[int, Meta(description="Tasks that wait for one, in the hands of workers.")]


class PoolMetrics(Struct, frozen=True):
    """What `status` does not have of a pool."""

    name: str
    calls: Annotated[Histogram, Meta(description="How long calls of the handler took.")]
    ends: list[Ends]
    events: Annotated[dict[str, int], Meta(description="How often which event has come.")]
    own: Annotated[dict[str, float], Meta(description="What the consumer's code counts: `wire.figures`.")] = {}
    partitions: Annotated[
        dict[str, int], Meta(description="How many were assigned to a worker, revoked from one, and lost.")
    ] = {}
    behind: Annotated[Histogram | None, Meta(description="For how long tasks had been due when they were handled.")] = (
        None
    )
    outcomes: Outcomes = Outcomes()
    batches: Annotated[int, Meta(description="How often `handle_batch` was called.")] = 0
    batched: Annotated[int, Meta(description="With how many tasks.")] = 0
    lines_folded: Annotated[int, Meta(description="Lines of `logging` that are counted and not written.")] = 0
    destinations: Annotated[Destinations | None, Meta(description="null: no task has named one.")] = None


class Metrics(Struct, frozen=True):
    """All numbers as they are now."""

    status: Status
    pools: list[PoolMetrics]
    events: Annotated[dict[str, int], Meta(description="Of the master's own events, how often which has come.")]
