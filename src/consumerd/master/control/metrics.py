"""What `metrics` answers of one pool beside its status. Runs in the master."""

from __future__ import annotations

from consumerd.master.control.happened import Happened
from consumerd.master.pools.pool import Pool
from consumerd.wire.destination_rows import DestinationCounts
from consumerd.wire.figures import histograms
from consumerd.wire.figures.counters import Counter, Sums
from consumerd.wire.figures.histograms import BEHIND, CALLS
from consumerd.wire.metrics import Destinations, Ends, Histogram, Outcomes, PoolMetrics


def pool_metrics(pool: Pool, happened: Happened, counts: DestinationCounts | None) -> PoolMetrics:
    """counts: of its destinations."""
    tally, living, name = pool.tally, pool.workers.values(), pool.consumer
    sums = tally.all_sums(living)
    return PoolMetrics(
        name=name,
        calls=_histogram(CALLS, sums),
        behind=_histogram(BEHIND, sums),
        outcomes=Outcomes(**{name: Counter[name.upper()].read(sums) for name in Outcomes.__struct_fields__}),
        batches=Counter.BATCHES.read(sums),
        batched=Counter.BATCHED.read(sums),
        lines_folded=Counter.LINES_FOLDED.read(sums),
        ends=[Ends(cause, end, count) for (cause, end), count in sorted(happened.ends[name].items())],
        events=dict(happened.events[name]),
        own=tally.figures(living),
        partitions=dict(happened.partitions[name]),
        destinations=None if counts is None else _destinations(counts),
    )


def _histogram(which: histograms.Histogram, sums: Sums) -> Histogram:
    found = which.read(sums)
    return Histogram(list(which.bounds_s), list(found.counts), round(found.sum_s, 6))


def _destinations(counts: DestinationCounts) -> Destinations:
    return Destinations({state.name.lower(): count for state, count in counts.states.items()}, counts.waiting)
