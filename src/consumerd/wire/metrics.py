"""What `metrics` answers: all numbers of a master, for whoever keeps them over time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from consumerd.wire.status import Status


class Calls(Struct, frozen=True):
    """How long the calls of a consumer's handler took since the master started, those of dead workers too."""

    counts: Annotated[list[int], Meta(description="Of each of `bounds_s`, how many took at most so long; then more.")]
    sum_s: float


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
    calls: Calls
    ends: list[Ends]
    events: Annotated[dict[str, int], Meta(description="How often which event has come.")]
    own: Annotated[dict[str, float], Meta(description="What the consumer's code counts: `wire.own_figures`.")] = {}
    partitions: Annotated[
        dict[str, int], Meta(description="How many were assigned to a worker, revoked from one, and lost.")
    ] = {}
    destinations: Annotated[Destinations | None, Meta(description="null: no task has named one.")] = None


class Metrics(Struct, frozen=True):
    """All numbers as they are now."""

    bounds_s: list[float]
    status: Status
    pools: list[PoolMetrics]
    events: Annotated[dict[str, int], Meta(description="Of the master's own events, how often which has come.")]
