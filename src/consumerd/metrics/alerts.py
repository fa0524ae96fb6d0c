"""Alert rules for Prometheus, as `python -m consumerd.metrics alerts` prints them. Pure.

They are of what a person should look at. Numbers that are promises of a team, such as how late tasks may be, are meant
to be changed in the printed file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple


class Alert(NamedTuple):
    """A rule. lasts: for how long its expression holds before somebody is told. summary: a sentence, and what to do."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str


OF = "{{ $labels.consumer }}"

_BAD = 'outcome=~"retried|dead|expired"'
_TRIED = 'outcome!="put off"'
_CRASHES = 'cause=~"crashed|killed|out of memory"'

ALERTS: Sequence[Alert] = (
    Alert(
        "ConsumerdAbsent",
        "absent(consumerd_healthy)",
        "5m",
        "critical",
        "No master tells its metrics: consumerd status on its host, or the log of its service",
    ),
    Alert(
        "ConsumerdUnhealthy",
        "consumerd_healthy == 0",
        "5m",
        "critical",
        "Something is wrong with {{ $labels.instance }}: consumerd status has the sentence",
    ),
    Alert(
        "ConsumerdBehind",
        "max by (consumer) (consumerd_lag_seconds) > 300",
        "10m",
        "warning",
        OF + " is {{ $value | humanizeDuration }} behind: consumerd status, then scale it or look at its handler",
    ),
    Alert(
        "ConsumerdLagUnknown",
        "consumerd_lag_age_seconds > 300 and on (consumer, instance) consumerd_workers_wanted > 0",
        "5m",
        "warning",
        "Nobody has measured the lag of " + OF + " for {{ $value | humanizeDuration }}: consumerd status",
    ),
    Alert(
        "ConsumerdStalled",
        "consumerd_workers_stalled > 0",
        "5m",
        "warning",
        "{{ $value }} workers of " + OF + " make no progress: consumerd status has what they run",
    ),
    Alert(
        "ConsumerdWorkersMissing",
        "consumerd_workers_running < consumerd_workers_wanted",
        "10m",
        "warning",
        "Only {{ $value }} workers of " + OF + " run: consumerd status says why",
    ),
    Alert(
        "ConsumerdCrashes",
        f"sum by (consumer) (increase(consumerd_worker_ends_total{{{_CRASHES}}}[15m])) > 3",
        "0m",
        "warning",
        "{{ $value | humanize }} workers of " + OF + " have died in 15 minutes: consumerd status has their last ends",
    ),
    Alert(
        "ConsumerdFailing",
        f"sum by (consumer) (rate(consumerd_tasks_total{{{_BAD}}}[5m])) "
        f"/ sum by (consumer) (rate(consumerd_tasks_total{{{_TRIED}}}[5m])) > 0.1",
        "10m",
        "warning",
        "{{ $value | humanizePercentage }} of the tasks of " + OF + " fail: consumerd parked list has the errors",
    ),
    Alert(
        "ConsumerdDead",
        'sum by (consumer) (increase(consumerd_tasks_total{outcome=~"dead|expired"}[15m])) > 0',
        "0m",
        "warning",
        "Tasks of " + OF + " have died and wait for a person: consumerd parked list",
    ),
    Alert(
        "ConsumerdDestinationDown",
        'sum by (consumer) (consumerd_destinations{state="open"}) > 0',
        "10m",
        "warning",
        "{{ $value }} destinations of " + OF + " do not answer: consumerd destinations names them",
    ),
    Alert(
        "ConsumerdScheduleMissed",
        "sum by (consumer) (increase(consumerd_schedule_missed_runs_total[1h])) > 0",
        "0m",
        "warning",
        "Times of " + OF + " passed while no worker ran: consumerd run-now runs it once",
    ),
)


def alerts() -> str:
    """A file of rules."""
    return "groups:\n  - name: consumerd\n    rules:\n" + "".join(map(_rule, ALERTS))


def _rule(alert: Alert) -> str:
    return f"""\
      - alert: {alert.name}
        expr: {json.dumps(alert.expression)}
        for: {alert.lasts}
        labels:
          severity: {alert.severity}
        annotations:
          summary: {json.dumps(alert.summary)}
"""
