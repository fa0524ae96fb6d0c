"""What is shipped for Prometheus, and what a master tells, as Prometheus' own tool takes them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from consumerd.metrics.alerts import ALERTS, alerts
from consumerd.metrics.grafana import dashboard
from integration.scenarios.numbered_pool import Load, NumberedPool
from integration.scenarios.running import READY_S
from servers.environment import is_ci
from servers.packages import UnavailableError
from servers.prometheus import promtool
from servers.waiting import wait_until

TOOL_S = 60
POOL = {"consumer": "shop/jobs"}


def run_promtool(*arguments: str, given: bytes = b"") -> str:
    """What it says; it has to be content."""
    try:
        tool = promtool()
    except UnavailableError as error:
        pytest.fail(str(error), pytrace=False) if is_ci() else pytest.skip(str(error))
    ran = subprocess.run([tool, *arguments], input=given, capture_output=True, timeout=TOOL_S, check=False)
    said = (ran.stdout + ran.stderr).decode()
    assert ran.returncode == 0, said
    return said


class Fires(NamedTuple):
    """Series, by the minute, of which an alert is told after half an hour: with which labels, and in which words."""

    series: Mapping[str, str]
    labels: Mapping[str, str]
    summary: str
    severity: str = "warning"


TOLD: Mapping[str, Fires] = {
    "ConsumerdAbsent": Fires(
        {}, {}, "No master tells its metrics: consumerd status on its host, or the log of its service", "critical"
    ),
    "ConsumerdUnhealthy": Fires(
        {'consumerd_healthy{instance="a"}': "0x60"},
        {"instance": "a"},
        "Something is wrong with a: consumerd status has the sentence",
        "critical",
    ),
    "ConsumerdBehind": Fires(
        {'consumerd_lag_seconds{consumer="shop/jobs",shard="0"}': "400x60"},
        POOL,
        "shop/jobs is 6m 40s behind: consumerd status, then scale it or look at its handler",
    ),
    "ConsumerdLagUnknown": Fires(
        {
            'consumerd_lag_age_seconds{consumer="shop/jobs",instance="a"}': "600x60",
            'consumerd_workers_wanted{consumer="shop/jobs",instance="a"}': "2x60",
            'consumerd_workers_running{consumer="shop/jobs",instance="a"}': "2x60",
        },
        {**POOL, "instance": "a"},
        "Nobody has measured the lag of shop/jobs for 10m 0s: consumerd status",
    ),
    "ConsumerdStalled": Fires(
        {'consumerd_workers_stalled{consumer="shop/jobs"}': "2x60"},
        POOL,
        "2 workers of shop/jobs make no progress: consumerd status has what they run",
    ),
    "ConsumerdWorkersMissing": Fires(
        {
            'consumerd_workers_running{consumer="shop/jobs"}': "3x60",
            'consumerd_workers_wanted{consumer="shop/jobs"}': "4x60",
        },
        POOL,
        "Only 3 workers of shop/jobs run: consumerd status says why",
    ),
    "ConsumerdCrashes": Fires(
        {'consumerd_worker_ends_total{consumer="shop/jobs",cause="crashed",end="SIGSEGV"}': "0+1x60"},
        POOL,
        "15 workers of shop/jobs have died in 15 minutes: consumerd status has their last ends",
    ),
    "ConsumerdFailing": Fires(
        {
            'consumerd_tasks_total{consumer="shop/jobs",outcome="done"}': "0+60x60",
            'consumerd_tasks_total{consumer="shop/jobs",outcome="retried"}': "0+20x60",
            'consumerd_tasks_total{consumer="shop/jobs",outcome="put off"}': "0+900x60",
        },
        POOL,
        "25% of the tasks of shop/jobs fail: consumerd parked list has the errors",
    ),
    "ConsumerdDead": Fires(
        {
            'consumerd_tasks_total{consumer="shop/jobs",outcome="done"}': "0+600x60",
            'consumerd_tasks_total{consumer="shop/jobs",outcome="dead"}': "0x20 1x40",
        },
        POOL,
        "Tasks of shop/jobs have died and wait for a person: consumerd parked list",
    ),
    "ConsumerdDestinationDown": Fires(
        {'consumerd_destinations{consumer="shop/jobs",state="open"}': "2x60"},
        POOL,
        "2 destinations of shop/jobs do not answer: consumerd destinations names them",
    ),
    "ConsumerdScheduleMissed": Fires(
        {'consumerd_schedule_missed_runs_total{consumer="shop/jobs"}': "5x20 6x40"},
        POOL,
        "Times of shop/jobs passed while no worker ran: consumerd run-now runs it once",
    ),
}

WELL = {
    'consumerd_healthy{instance="a"}': "1x60",
    'consumerd_lag_seconds{consumer="shop/jobs",shard="0"}': "30x60",
    'consumerd_lag_age_seconds{consumer="shop/jobs",instance="a"}': "10x60",
    'consumerd_workers_wanted{consumer="shop/jobs",instance="a"}': "4x60",
    'consumerd_workers_running{consumer="shop/jobs",instance="a"}': "4x60",
    'consumerd_workers_stalled{consumer="shop/jobs",instance="a"}': "0x60",
    'consumerd_worker_ends_total{consumer="shop/jobs",cause="asked",end="drained"}': "0+4x60",
    'consumerd_worker_ends_total{consumer="shop/jobs",cause="crashed",end="SIGKILL"}': "3x60",
    'consumerd_tasks_total{consumer="shop/jobs",outcome="done"}': "0+600x60",
    'consumerd_tasks_total{consumer="shop/jobs",outcome="retried"}': "0+5x60",
    'consumerd_tasks_total{consumer="shop/jobs",outcome="dead"}': "7x60",
    'consumerd_tasks_total{consumer="shop/jobs",outcome="put off"}': "0+100x60",
    'consumerd_destinations{consumer="shop/jobs",state="closed"}': "9x60",
    'consumerd_destinations{consumer="shop/jobs",state="open"}': "0x60",
    'consumerd_schedule_missed_runs_total{consumer="shop/jobs"}': "5x60",
}


def group(series: Mapping[str, str], told: Mapping[str, Fires]) -> dict[str, Any]:  # as promtool has it
    """Which of all alerts are told of these series after half an hour."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": "30m", "alertname": alert.name, "exp_alerts": expected(told.get(alert.name))}
            for alert in ALERTS
        ],
    }


def expected(fires: Fires | None) -> list[dict[str, Any]]:
    if fires is None:
        return []
    labels = {**fires.labels, "severity": fires.severity}
    return [{"exp_labels": labels, "exp_annotations": {"summary": fires.summary}}]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "consumerd.yml"
    path.write_text(alerts())
    return path


def test_rules_are_as_prometheus_takes_them(rules: Path) -> None:
    assert f"{len(ALERTS)} rules found" in run_promtool("check", "rules", "--lint-fatal", str(rules))


def test_each_alert_is_told_of_what_it_is_for_and_none_in_a_healthy_hour(rules: Path) -> None:
    healthy = {'consumerd_healthy{instance="a"}': "1x60"}
    groups = [group(WELL, {})]
    for alert in ALERTS:
        fires = TOLD[alert.name]
        series = {**({} if alert.name == "ConsumerdAbsent" else healthy), **fires.series}
        groups.append(group(series, {alert.name: fires}))
    tests = rules.with_name("tests.yml")
    tests.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": groups}))
    run_promtool("test", "rules", str(tests))


def test_panels_ask_what_prometheus_understands(tmp_path: Path) -> None:
    queries = [target["expr"] for panel in json.loads(dashboard())["panels"] for target in panel.get("targets", ())]
    plain = [query.replace("$__rate_interval", "5m").replace("$consumer", ".*") for query in queries]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(queries)} rules found" in run_promtool("check", "rules", str(path))


def test_what_a_master_tells_is_as_metrics_should_be(state_dir: Path) -> None:
    """In the format that the tool reads, which is the older one."""
    pool = NumberedPool(state_dir, 1, None, Load(task_s=0.001, max_unsettled=10, backlog=20))
    with pool.started():
        wait_until(lambda: pool.pool()["handled"] >= pool.report.rows, READY_S, lambda: f"all{pool.master.tail()}")
        shown = pool.master.verb("metrics")
    families = list(text_string_to_metric_families(shown.stdout.decode()))
    registry = CollectorRegistry()
    registry.collect = lambda: families  # type: ignore[method-assign]  # what it takes for all that it has
    assert run_promtool("check", "metrics", given=generate_latest(registry)) == ""
