"""What `metrics` answers of one pool beside its status. Runs in the master."""

from __future__ import annotations

from consumerd.master.control.happened import Happened
from consumerd.master.pools.pool import Pool
from consumerd.wire.destination_rows import DestinationCounts
from consumerd.wire.metrics import Calls, Destinations, Ends, PoolMetrics


def pool_metrics(pool: Pool, happened: Happened, counts: DestinationCounts | None) -> PoolMetrics:
    """counts: of its destinations."""
    tally, living, name = pool.tally, pool.workers.values(), pool.consumer
    calls = tally.calls(living)
    return PoolMetrics(
        name=name,
        calls=Calls(list(calls.counts), round(calls.sum_s, 6)),
        ends=[Ends(cause, end, count) for (cause, end), count in sorted(happened.ends[name].items())],
        events=dict(happened.events[name]),
        own=tally.figures(living),
        partitions=dict(happened.partitions[name]),
        destinations=None if counts is None else _destinations(counts),
    )


def _destinations(counts: DestinationCounts) -> Destinations:
    return Destinations({state.name.lower(): count for state, count in counts.states.items()}, counts.waiting)
