"""What is left of what exporters log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from consumerd.worker.traces.exporter_log import OVER_GRPC, OVER_HTTP, TOLD_EVERY_S, LastWords, Seldom, say_seldom


@pytest.fixture(autouse=True)
def _as_they_were() -> Iterator[None]:
    logs = [logging.getLogger(name) for name in (OVER_HTTP, OVER_GRPC)]
    before = [(log.propagate, log.handlers[:], log.filters[:]) for log in logs]
    for log in logs:
        log.propagate, log.handlers, log.filters = True, [], []
    yield
    for log, (propagate, handlers, filters) in zip(logs, before, strict=True):
        log.propagate, log.handlers, log.filters = propagate, handlers, filters


@pytest.mark.parametrize("name", [OVER_HTTP, OVER_GRPC])
def test_an_exporter_of_the_consumers_own_says_a_line_in_ten_minutes(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    for _ in range(2):
        say_seldom(lambda: now[0])
    log = logging.getLogger(name)
    assert len([each for each in log.filters if isinstance(each, Seldom)]) == 1
    for second in range(0, int(TOLD_EVERY_S) + 1, 10):
        now[0] = float(second)
        log.warning("Transient error %s", "refused")
    assert caplog.messages == [
        (
            "Transient error refused (further lines of the exporter are left out for ten minutes; "
            "look whether a collector answers)"
        ),
        (
            "Transient error refused (59 more lines of the exporter before this one were left out; "
            "look whether a collector answers)"
        ),
    ]


def test_the_reason_says_why_the_exporter_had_tried_again() -> None:
    say_seldom(lambda: 0.0)
    words, log = LastWords(), logging.getLogger(OVER_HTTP)
    for _ in range(3):
        log.warning("Transient error %s encountered, retrying in %.2fs.", "connection refused", 1.0)
    log.error("Failed to export.")
    assert words.text == "Failed to export. (connection refused)"
    log.error("Failed: %s", 400)
    assert words.text == "Failed: 400"
