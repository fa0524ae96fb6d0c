"""What `metrics` answers: all numbers of a master, for whoever keeps them over time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from consumerd.wire.status import Status


class Calls(Struct, frozen=True):
    """How long the calls of a consumer's handler took since the master started, those of dead workers too."""

    counts: Annotated[list[int], Meta(description="Of each of `bounds_s`, how many took at most so long; then more.")]
    sum_s: float


class PoolMetrics(Struct, frozen=True):
    """What `status` does not have of a pool."""

    name: str
    calls: Calls
    ends: Annotated[dict[str, int], Meta(description="How many workers ended how: drained, SIGKILL, exit 3.")]
    events: Annotated[dict[str, int], Meta(description="How often which event has come.")]
    own: Annotated[dict[str, float], Meta(description="What the consumer's code counts: `wire.own_figures`.")] = {}


class Metrics(Struct, frozen=True):
    """All numbers as they are now."""

    bounds_s: list[float]
    status: Status
    pools: list[PoolMetrics]
    events: Annotated[dict[str, int], Meta(description="Of the master's own events, how often which has come.")]
