"""A dashboard for Grafana, as `python -m consumerd.metrics grafana` prints it: a row of this table a panel. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Panel(NamedTuple):
    """title: a question. queries: each an expression, and what its lines are called. unit: Grafana's word for it."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"


_OF = '{consumer=~"$consumer"}'
_NAME = "{{consumer}}"


def _rate(metric: str, more: str = "", by: str = "consumer") -> str:
    return f'sum by ({by}) (rate({metric}{{consumer=~"$consumer"{more}}}[$__rate_interval]))'


def _quantile(metric: str, quantile: float) -> str:
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', by='consumer, le')})"


def _sum(metric: str, by: str = "consumer") -> str:
    return f"sum by ({by}) ({metric}{_OF})"


ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    (
        "Is it well?",
        (
            Panel("Healthy", "bool_yes_no", [("min(consumerd_healthy)", "")], "stat"),
            Panel(
                "Pools that are not", "none", [(f"count(consumerd_pool_healthy{_OF} == 0) or vector(0)", "")], "stat"
            ),
            Panel("Farthest behind", "s", [(f"max(consumerd_lag_seconds{_OF})", "")], "stat"),
            Panel(
                "Dead tasks",
                "none",
                [('sum(consumerd_parked_now_tasks{consumer=~"$consumer", state="dead"})', "")],
                "stat",
            ),
        ),
    ),
    (
        "Does it keep up?",
        (
            Panel("Behind", "s", [(f"max by (consumer) (consumerd_lag_seconds{_OF})", _NAME)]),
            Panel("Waiting tasks", "none", [(_sum("consumerd_lag_tasks"), _NAME)]),
            Panel(
                "How late tasks are handled",
                "s",
                [(_quantile("consumerd_behind_seconds", each), f"{_NAME} {each:.0%}") for each in (0.5, 0.99)],
            ),
            Panel("Done a second", "ops", [(_rate("consumerd_tasks_total", ', outcome="done"'), _NAME)]),
        ),
    ),
    (
        "What fails?",
        (
            Panel(
                "Not done, a second",
                "ops",
                [
                    (
                        _rate("consumerd_tasks_total", ', outcome!="done"', "consumer, outcome"),
                        f"{_NAME} {{{{outcome}}}}",
                    )
                ],
            ),
            Panel(
                "Parked", "none", [(_sum("consumerd_parked_now_tasks", "consumer, state"), f"{_NAME} {{{{state}}}}")]
            ),
            Panel(
                "Destinations that are down",
                "none",
                [('sum by (consumer) (consumerd_destinations{consumer=~"$consumer", state!="closed"})', _NAME)],
            ),
            Panel("Tasks that wait for one", "none", [(_sum("consumerd_destination_waiting_tasks"), _NAME)]),
        ),
    ),
    (
        "How does it work?",
        (
            Panel(
                "How long handlers take",
                "s",
                [(_quantile("consumerd_handler_seconds", each), f"{_NAME} {each:.0%}") for each in (0.5, 0.99)],
            ),
            Panel(
                "Lanes in use", "percentunit", [(f"{_sum('consumerd_lanes_busy')} / {_sum('consumerd_lanes')}", _NAME)]
            ),
            Panel(
                "Tasks a batch",
                "none",
                [(f"{_rate('consumerd_batch_tasks_total')} / {_rate('consumerd_batches_total')}", _NAME)],
            ),
            Panel("Saved by coalescing, a second", "ops", [(_rate("consumerd_coalesced_tasks_total"), _NAME)]),
        ),
    ),
    (
        "Who works?",
        (
            Panel(
                "Workers",
                "none",
                [
                    (_sum("consumerd_workers_running"), f"{_NAME} running"),
                    (_sum("consumerd_workers_wanted"), f"{_NAME} wanted"),
                ],
            ),
            Panel(
                "Ends of workers, a second",
                "ops",
                [(_rate("consumerd_worker_ends_total", by="consumer, cause"), f"{_NAME} {{{{cause}}}}")],
            ),
            Panel("Memory", "bytes", [(_sum("consumerd_workers_memory_bytes"), _NAME)]),
            Panel(
                "Partitions that move, a second",
                "ops",
                [(_rate("consumerd_partitions_total", by="consumer, change"), f"{_NAME} {{{{change}}}}")],
            ),
        ),
    ),
    (
        "What else?",
        (
            Panel("Running under limits", "none", [("sum by (limit) (consumerd_limit_running_tasks)", "{{limit}}")]),
            Panel("Waiting for limits", "none", [("sum by (limit) (consumerd_limit_waiting_tasks)", "{{limit}}")]),
            Panel(
                "Next run of a schedule, in",
                "s",
                [(f"min by (consumer) (consumerd_schedule_next_run_timestamp_seconds{_OF}) - time()", _NAME)],
            ),
            Panel("Last run took", "s", [(f"max by (consumer) (consumerd_schedule_last_run_seconds{_OF})", _NAME)]),
        ),
    ),
)

SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT, STAT_HEIGHT = 24, 8, 4


def dashboard() -> str:
    """The dashboard, to be imported: it asks which Prometheus, and which consumers."""
    consumers = {"query": "label_values(consumerd_pool_healthy, consumer)", "refId": "consumers"}
    found = {
        "uid": "consumerd",
        "title": "consumerd",
        "tags": ["consumerd"],
        "schemaVersion": 38,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                {
                    "name": "consumer",
                    "label": "Consumer",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": consumers,
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_panels()),
    }
    return json.dumps(found, indent=2) + "\n"


def _panels() -> Iterator[dict[str, Any]]:  # as Grafana has them
    number, top = 1, 0
    for title, panels in ROWS:
        row = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": row, "panels": []}
        number, top = number + 1, top + 1
        width = WIDTH // len(panels)
        height = max(STAT_HEIGHT if panel.kind == "stat" else HEIGHT for panel in panels)
        for place, panel in enumerate(panels):
            yield _panel(panel, number, {"x": place * width, "y": top, "w": width, "h": height})
            number += 1
        top += height


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression, "legendFormat": called}
        for at, (expression, called) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0} if panel.unit != "s" else {"unit": "s"},
            "overrides": [],
        },
        "targets": targets,
    }
