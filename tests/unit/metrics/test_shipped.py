"""What is shipped for Prometheus and Grafana asks for metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from consumerd.metrics.__main__ import SHIPPED, main
from consumerd.metrics.alerts import ALERTS
from consumerd.metrics.grafana import WIDTH, dashboard
from unit.metrics.test_families import FAMILIES

SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
KNOWN = {name + suffix for name, family in FAMILIES.items() for suffix in SUFFIXES.get(family.type, ("",))}


def panels() -> Iterator[dict[str, Any]]:
    return (panel for panel in json.loads(dashboard())["panels"] if panel["type"] != "row")


def unknown(expression: str) -> set[str]:
    return set(re.findall(r"\bconsumerd_\w+", expression)) - KNOWN


def test_alerts_are_of_metrics_that_there_are() -> None:
    assert {alert.name: found for alert in ALERTS if (found := unknown(alert.expression))} == {}
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_panels_are_of_metrics_that_there_are() -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert {query: found for query in queries if (found := unknown(query))} == {}
    assert len(queries) > len(list(panels())) > 20


def test_panels_stand_beside_each_other_and_cover_none() -> None:
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in json.loads(dashboard())["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < WIDTH


@pytest.mark.parametrize("words", [[], ["grafan"], ["grafana", "alerts"]])
def test_what_is_not_shipped_is_said_in_one_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err == "python -m consumerd.metrics wants one word: grafana or alerts\n"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 0
    assert capsys.readouterr().out == SHIPPED[name]()
