"""Metrics of consumers' own code, as they are shown."""

from __future__ import annotations

import json

from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from consumerd.metrics.exposition import Collected
from consumerd.metrics.own import own_families
from consumerd.wire.metrics import Histogram, PoolMetrics


def pool(name: str, *figures: tuple[str, str, str, dict[str, str], float]) -> PoolMetrics:
    own = {
        json.dumps([kind, family, sample, labels, "help", ""]): value for kind, family, sample, labels, value in figures
    }
    return PoolMetrics(name, Histogram([], [], 0.0), [], {}, own)


def samples(*pools: PoolMetrics) -> list[tuple[str, str, dict[str, str], float]]:
    return [
        (family.type, sample.name, sample.labels, sample.value)
        for family in own_families(pools)
        for sample in family.samples
    ]


def test_each_consumer_has_its_own_in_one_family() -> None:
    sent = ("counter", "sent", "sent_total", {"kind": "a"})
    found = samples(pool("shop/a", (*sent, 1.0)), pool("shop/b", (*sent, 2.0)))
    assert found == [
        ("counter", "sent_total", {"consumer": "shop/a", "kind": "a"}, 1.0),
        ("counter", "sent_total", {"consumer": "shop/b", "kind": "a"}, 2.0),
    ]


def test_buckets_are_in_order_and_add_up() -> None:
    buckets = [("histogram", "size", "size_bucket", {"le": bound}, 1.0) for bound in ("10.0", "+Inf", "2.5")]
    found = samples(pool("shop/a", *buckets))
    assert [(name, labels.get("le"), value) for _, name, labels, value in found] == [
        ("size_bucket", "2.5", 1.0),
        ("size_bucket", "10.0", 2.0),
        ("size_bucket", "+Inf", 3.0),
        ("size_count", None, 3.0),
        ("size_sum", None, 0.0),
    ]


def test_histograms_of_several_labels_and_consumers_are_what_servers_read() -> None:
    size = [
        ("histogram", "size", f"size_{kind}", {"to": to, **bound}, 1.0)
        for to in ("a", "b")
        for kind, bound in (("sum", {}), ("bucket", {"le": "1.0"}), ("bucket", {"le": "+Inf"}))
    ]
    found = list(own_families([pool("shop/a", *size), pool("shop/b", *size)]))
    shown = generate_latest(Collected(found)).decode()  # type: ignore[no-untyped-call]
    [family] = text_string_to_metric_families(shown)
    assert len(family.samples) == 4 * 4


def test_one_name_has_one_type() -> None:
    found = samples(pool("shop/a", ("counter", "x", "x_total", {}, 1.0)), pool("shop/b", ("gauge", "x", "x", {}, 2.0)))
    assert [(kind, labels) for kind, _, labels, _ in found] == [("counter", {"consumer": "shop/a"})]
