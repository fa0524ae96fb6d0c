"""Metrics of consumers' own code, of all their workers together. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import Metric

from consumerd.wire.metrics import PoolMetrics

CONSUMER = "consumer"
BOUND, SUM = "le", "sum"


def own_families(pools: Iterable[PoolMetrics]) -> Iterator[Metric]:
    """A family for each name, with the label `consumer` besides its own. The type is that which came first."""
    found: dict[str, Metric] = {}
    histograms: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for pool in pools:
        for key, value in pool.own.items():
            kind, family_name, name, labels, help_text, _ = json.loads(key)
            family = found.setdefault(family_name, Metric(family_name, help_text, kind))
            if family.type != kind:
                continue
            labels = {**labels, CONSUMER: pool.name}
            if kind == "histogram":
                bound = labels.pop(BOUND, SUM)
                histograms[family_name, json.dumps(labels)][bound] = value
            else:
                family.add_sample(name, labels, value)
    for (family_name, text), buckets in histograms.items():
        _add_buckets(found[family_name], json.loads(text), buckets)
    yield from found.values()


def _add_buckets(family: Metric, labels: dict[str, str], buckets: dict[str, float]) -> None:
    summed = buckets.pop(SUM, 0.0)
    bounds = sorted(buckets, key=float)
    totals = list(accumulate(buckets[bound] for bound in bounds))
    for bound, total in zip(bounds, totals, strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, BOUND: bound}, total)
    family.add_sample(f"{family.name}_count", labels, totals[-1] if totals else 0.0)
    family.add_sample(f"{family.name}_sum", labels, summed)
