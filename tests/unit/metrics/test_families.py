"""Which metrics there are: each stands in the manual, and is what its name says."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from consumerd.metrics.exposition import text
from consumerd.wire.figures.histograms import CALLS
from consumerd.wire.metrics import Destinations, Ends, Histogram, Metrics, Outcomes, PoolMetrics
from consumerd.wire.status import LimitStatus, Status

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
SUFFIXES = {"counter": "_total", "info": "_info"}


def limit(key: str | None, running: int) -> LimitStatus:
    return LimitStatus(
        placeless=0,
        limit="channel",
        by="channel",
        key=key,
        at_once=20,
        per_second=None,
        running=running,
        waiting=2 if key is None else 1,
        first_waits_s=None,
        hosts=None,
        is_unshared=False,
    )


JOBS = PoolMetrics(
    name="shop/jobs",
    calls=Histogram(list(CALLS.bounds_s), [1] * (len(CALLS.bounds_s) + 1), 2.5),
    behind=Histogram([1.0, 60.0], [3, 0, 2], 700.0),
    outcomes=Outcomes(retried=4, dead=3, expired=2, put_off=1),
    batches=2,
    batched=9,
    lines_folded=11,
    ends=[Ends("killed", "SIGKILL", 2)],
    events={"worker_ready": 3},
    partitions={"assigned": 8, "revoked": 3},
    destinations=Destinations({"closed": 5, "open": 1}, 40),
)
METRICS = Metrics(
    status=Status(
        version="1.2.3",
        pid=1,
        config="a.toml",
        started_at=1.5,
        state="running",
        is_healthy=True,
        problems=[],
        pools=[],
        disabled=[],
        limits=[limit(None, 7), limit("one", 3), limit("two", 4)],
    ),
    pools=[JOBS],
    events={"master_started": 1},
)
FAMILIES = {family.name: family for family in text_string_to_metric_families(text(METRICS))}


def values(name: str) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in FAMILIES[name].samples}


def test_the_manual_has_each_and_no_other() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `consumerd_")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert listed == {family.name + SUFFIXES.get(family.type, "") for family in FAMILIES.values()}


def test_keys_of_a_limit_are_counted_together_and_once() -> None:
    assert values("consumerd_limit_running_tasks") == {("channel",): 7}
    assert values("consumerd_limit_waiting_tasks") == {("channel",): 2}


def test_what_is_of_no_pool_is_the_masters() -> None:
    assert values("consumerd_events") == {("shop/jobs", "worker_ready"): 3, ("", "master_started"): 1}
    assert values("consumerd_worker_ends") == {("killed", "shop/jobs", "SIGKILL"): 2}


def test_buckets_add_up() -> None:
    buckets = [each.value for each in FAMILIES["consumerd_handler_seconds"].samples if each.name.endswith("_bucket")]
    assert buckets == list(range(1, len(CALLS.bounds_s) + 2))
    behind = {sample.labels["le"]: sample.value for sample in FAMILIES["consumerd_behind_seconds"].samples[:3]}
    assert behind == {"1.0": 3, "60.0": 3, "+Inf": 5}


def test_what_becomes_of_tasks_is_told_apart() -> None:
    found = {sample.labels["outcome"]: sample.value for sample in FAMILIES["consumerd_tasks"].samples}
    assert found == {"retried": 4, "dead": 3, "expired": 2, "put off": 1}
    assert (values("consumerd_batches"), values("consumerd_batch_tasks")) == ({("shop/jobs",): 2}, {("shop/jobs",): 9})
    assert values("consumerd_log_lines_folded") == {("shop/jobs",): 11}


def test_destinations_and_partitions_are_counted_without_their_names() -> None:
    assert values("consumerd_destinations") == {("shop/jobs", "closed"): 5, ("shop/jobs", "open"): 1}
    assert values("consumerd_destination_waiting_tasks") == {("shop/jobs",): 40}
    assert values("consumerd_partitions") == {("assigned", "shop/jobs"): 8, ("revoked", "shop/jobs"): 3}
