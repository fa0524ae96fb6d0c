"""Which metrics there are, with their names, types and labels. Pure.

Every metric of a consumer has the label `consumer`, and none has a label whose values come from tasks: keys of limits,
names of destinations and ids of tasks are for `consumerd limits`, `consumerd destinations` and the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from msgspec.structs import asdict
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from consumerd.metrics.own import CONSUMER, own_families
from consumerd.wire.metrics import Histogram, Metrics, PoolMetrics
from consumerd.wire.schedules import ScheduleStatus
from consumerd.wire.status import LimitStatus, PoolStatus, Status


def families(metrics: Metrics) -> Iterator[Metric]:
    """All of them. Those that have nothing to say now are there, without a sample."""
    status = metrics.status
    yield from _of_master(status)
    yield from (_gauge(name, documentation, value, status.pools) for name, documentation, value in GAUGES)
    yield from (_counter(name, documentation, value, status.pools) for name, documentation, value in COUNTERS)
    yield _tasks(metrics)
    yield from _lag(status.pools)
    yield from _limits(status.limits)
    yield _histogram(
        "consumerd_handler_seconds",
        "How long the handler took; of quick tasks one after the other, each as long as they in the mean.",
        lambda pool: pool.calls,
        metrics.pools,
    )
    yield _histogram(
        "consumerd_behind_seconds",
        "For how long tasks had been due when they were handled.",
        lambda pool: pool.behind,
        metrics.pools,
    )
    yield from _counters(metrics.pools)
    yield from own_families(metrics.pools)
    yield _ends(metrics.pools)
    partitions = [(pool.name, pool.partitions) for pool in metrics.pools]
    yield _counted("consumerd_partitions", "Partitions that came and went.", "change", partitions)
    yield from _destinations(metrics.pools)
    events = [*((pool.name, pool.events) for pool in metrics.pools), ("", metrics.events)]
    yield _counted("consumerd_events", "Events, by name.", "event", events)


Value = Callable[[PoolStatus], float | None]
"""Of a pool; None: nobody knows."""


def _of_schedule(value: Callable[[ScheduleStatus], float | None]) -> Value:
    """The same, of a pool that has a schedule."""
    return lambda pool: None if pool.schedule is None else value(pool.schedule)


def _next_run(schedule: ScheduleStatus) -> float | None:
    return schedule.next[0] if schedule.next else None


GAUGES: Sequence[tuple[str, str, Value]] = (
    ("consumerd_pool_healthy", "1 while nothing is wrong with the pool.", lambda pool: not pool.problems),
    ("consumerd_pool_paused", "1 while the pool is paused.", lambda pool: pool.is_paused),
    ("consumerd_pool_throttled", "1 while its throttle holds tasks back.", lambda pool: bool(pool.throttled)),
    ("consumerd_workers_wanted", "Workers that there should be.", lambda pool: pool.workers_wanted),
    ("consumerd_workers_running", "Workers that are in their loop.", lambda pool: pool.workers_running),
    ("consumerd_workers_stalled", "Workers that make no progress.", lambda pool: pool.workers_stalled),
    ("consumerd_lanes", "Tasks that its workers may run at once.", lambda pool: _sum(pool, "at_once")),
    ("consumerd_lanes_busy", "Tasks that run now.", lambda pool: _sum(pool, "running")),
    ("consumerd_workers_memory_bytes", "Memory of its workers.", lambda pool: _sum(pool, "memory_bytes")),
    ("consumerd_unsettled_tasks", "Tasks that are taken and not durably settled yet.", lambda pool: pool.unsettled),
    ("consumerd_suspect_tasks", "Tasks that were running when a worker died.", lambda pool: pool.suspects),
    ("consumerd_lag_age_seconds", "How long ago the lag was measured.", lambda pool: pool.lag_age_s),
    ("consumerd_later_tasks", "Tasks whose time has not come.", lambda pool: pool.later),
    ("consumerd_schedule_next_run_timestamp_seconds", "When its next run is due.", _of_schedule(_next_run)),
    (
        "consumerd_schedule_last_run_seconds",
        "How long its last run took that has succeeded.",
        _of_schedule(lambda schedule: schedule.last_took_s),
    ),
    ("consumerd_schedule_running_runs", "Runs that go on.", _of_schedule(lambda schedule: len(schedule.running))),
    ("consumerd_schedule_waiting_runs", "Runs that are due.", _of_schedule(lambda schedule: schedule.waiting)),
)

COUNTERS: Sequence[tuple[str, str, Value]] = (
    ("consumerd_parked_tasks", "How often a task was parked.", lambda pool: pool.parked),
    ("consumerd_coalesced_tasks", "Tasks that were finished with another.", lambda pool: pool.coalesced),
    (
        "consumerd_worker_restarts",
        "Workers started in the place of one that ended.",
        lambda pool: pool.restarts,
    ),
    (
        "consumerd_schedule_missed_runs",
        "Times that passed while no worker ran.",
        _of_schedule(lambda schedule: schedule.missed),
    ),
    (
        "consumerd_schedule_skipped_runs",
        "Times that came while the last run went on.",
        _of_schedule(lambda schedule: schedule.skipped),
    ),
)


def _of_master(status: Status) -> Iterator[Metric]:
    yield InfoMetricFamily("consumerd", "The master.", {"version": status.version, "config": status.config})
    yield GaugeMetricFamily("consumerd_start_time_seconds", "When the master started.", status.started_at)
    yield GaugeMetricFamily("consumerd_healthy", "1 while nothing is wrong.", float(status.is_healthy))


def _gauge(name: str, documentation: str, value: Value, pools: Sequence[PoolStatus]) -> Metric:
    return _filled(GaugeMetricFamily(name, documentation, labels=[CONSUMER]), value, pools)


def _counter(name: str, documentation: str, value: Value, pools: Sequence[PoolStatus]) -> Metric:
    return _filled(CounterMetricFamily(name, documentation, labels=[CONSUMER]), value, pools)


def _filled(family: Any, value: Value, pools: Sequence[PoolStatus]) -> Metric:  # whose classes share no add_metric
    for pool in pools:
        found = value(pool)
        if found is not None:
            family.add_metric([pool.name], float(found))
    metric: Metric = family
    return metric


def _sum(pool: PoolStatus, field: str) -> float:
    found = (getattr(worker, field) for worker in pool.workers)
    return sum(number for number in found if isinstance(number, int))


def _tasks(metrics: Metrics) -> Metric:
    family = CounterMetricFamily(
        "consumerd_tasks", "Tasks that were handled, by what became of them.", labels=[CONSUMER, "outcome"]
    )
    for pool in metrics.status.pools:
        family.add_metric([pool.name, "done"], pool.handled)
    for each in metrics.pools:
        for outcome, count in asdict(each.outcomes).items():
            family.add_metric([each.name, outcome.replace("_", " ")], count)
    return family


def _lag(pools: Sequence[PoolStatus]) -> Iterator[Metric]:
    labels = [CONSUMER, "shard"]
    tasks = GaugeMetricFamily("consumerd_lag_tasks", "Tasks that wait in the source.", labels=labels)
    oldest = GaugeMetricFamily("consumerd_lag_seconds", "Age of the oldest unfinished task.", labels=labels)
    for pool in pools:
        for each in pool.lag:
            tasks.add_metric([pool.name, str(each.shard)], each.tasks)
            if each.oldest_s is not None:
                oldest.add_metric([pool.name, str(each.shard)], each.oldest_s)
    parked = GaugeMetricFamily("consumerd_parked_now_tasks", "Tasks that are parked.", labels=[CONSUMER, "state"])
    for pool in pools:
        if pool.parked_now is not None:
            parked.add_metric([pool.name, "waiting"], pool.parked_now.waiting)
            parked.add_metric([pool.name, "dead"], pool.parked_now.dead)
    yield from (tasks, oldest, parked)


def _limits(limits: Sequence[LimitStatus]) -> Iterator[Metric]:
    """Of all keys of a limit together."""
    whole = [limit for limit in limits if limit.key is None]  # of all keys, and of tasks that have none
    running = {limit.limit: limit.running for limit in whole}
    waiting = {limit.limit: limit.waiting for limit in whole}
    for name, documentation, found in (
        ("consumerd_limit_running_tasks", "Tasks that run under a limit, of all its keys.", running),
        ("consumerd_limit_waiting_tasks", "Tasks that wait for a limit, of all its keys.", waiting),
    ):
        family = GaugeMetricFamily(name, documentation, labels=["limit"])
        for limit_name, count in found.items():
            family.add_metric([limit_name], count)
        yield family


def _histogram(
    name: str, documentation: str, found: Callable[[PoolMetrics], Histogram | None], pools: Sequence[PoolMetrics]
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=[CONSUMER])
    for pool in pools:
        histogram = found(pool)
        if histogram is not None:
            bounds = [*(str(float(bound)) for bound in histogram.bounds_s), "+Inf"]
            buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
            family.add_metric([pool.name], buckets, histogram.sum_s)
    return family


def _counters(pools: Sequence[PoolMetrics]) -> Iterator[Metric]:
    folded = CounterMetricFamily("consumerd_log_lines_folded", "Lines counted, not written.", labels=[CONSUMER])
    batches = CounterMetricFamily("consumerd_batches", "Calls of handle_batch.", labels=[CONSUMER])
    batched = CounterMetricFamily("consumerd_batch_tasks", "Tasks that it was called with.", labels=[CONSUMER])
    for pool in pools:
        batches.add_metric([pool.name], pool.batches)
        batched.add_metric([pool.name], pool.batched)
        folded.add_metric([pool.name], pool.lines_folded)
    yield from (batches, batched, folded)


def _ends(pools: Sequence[PoolMetrics]) -> Metric:
    family = CounterMetricFamily(
        "consumerd_worker_ends", "Workers that ended, by why and how.", labels=[CONSUMER, "cause", "end"]
    )
    for pool in pools:
        for ends in pool.ends:
            family.add_metric([pool.name, ends.cause, ends.end], ends.count)
    return family


def _destinations(pools: Sequence[PoolMetrics]) -> Iterator[Metric]:
    states = GaugeMetricFamily("consumerd_destinations", "Destinations, by state.", labels=[CONSUMER, "state"])
    waiting = GaugeMetricFamily(
        "consumerd_destination_waiting_tasks", "Tasks that wait for a destination.", labels=[CONSUMER]
    )
    for pool in pools:
        if pool.destinations is not None:
            waiting.add_metric([pool.name], pool.destinations.waiting)
            for state, count in pool.destinations.states.items():
                states.add_metric([pool.name, state], count)
    yield from (states, waiting)


def _counted(name: str, documentation: str, label: str, counts: Sequence[tuple[str, dict[str, int]]]) -> Metric:
    """counts: by the value of the label, of each consumer."""
    family = CounterMetricFamily(name, documentation, labels=[CONSUMER, label])
    for consumer, found in counts:
        for what, count in sorted(found.items()):
            family.add_metric([consumer, what], count)
    return family
