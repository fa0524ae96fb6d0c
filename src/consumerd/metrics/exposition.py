"""Metrics as text in the OpenMetrics format."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from consumerd.metrics.families import families
from consumerd.wire.metrics import Metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST


def text(metrics: Metrics) -> str:
    """All families, each with its help and type."""
    shown: bytes = generate_latest(Collected(list(families(metrics))))  # type: ignore[no-untyped-call]  # the library's
    return shown.decode()


class Collected:
    """What the library takes for a registry."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found
