"""What becomes of spans where a collector takes them, refuses them, or never answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from consumerd.clock import monotonic
from consumerd.events.facts import Fact
from consumerd.worker.traces import exporting as module
from consumerd.worker.traces.exporting import MOST_WAITING, Exporting
from consumerd.worker.traces.provider import own_provider
from consumerd.worker.traces.spans import CONSUMER

DEADLINE_S = 20.0


class Collector(SpanExporter):
    """What it was given, in `taken`; `answers` lets it answer, and `takes` says what.

    asked: so many times it was given something.
    """

    def __init__(self, *, takes: bool = True, is_open: bool = True) -> None:
        self.takes = takes
        self.answers = threading.Event()
        self.asked = threading.Semaphore(0)
        self.taken: list[ReadableSpan] = []
        if is_open:
            self.answers.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.release()
        assert self.answers.wait(DEADLINE_S)
        if not self.takes:
            logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").error("Failed: %s", "refused")
            return SpanExportResult.FAILURE
        self.taken += spans
        return SpanExportResult.SUCCESS


class Told:
    """What was reported."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.has_any = threading.Event()

    def __call__(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.has_any.set()

    def fields(self) -> list[Any]:
        return [(fact.fields["spans"], fact.fields["error"]) for fact in self.facts]


def ended(exporting: Exporting, spans: int) -> None:
    tracer = own_provider("billing/Prices", None, exporting).get_tracer("test")
    for _ in range(spans):
        tracer.start_span("process prices", kind=SpanKind.CONSUMER, attributes={CONSUMER: "billing/Prices"}).end()


def test_all_spans_are_sent_at_the_latest_at_the_end() -> None:
    collector, told = Collector(), Told()
    exporting = Exporting(collector, told)
    ended(exporting, 700)
    exporting.close(monotonic() + DEADLINE_S)
    assert (len(collector.taken), told.facts) == (700, [])


def test_a_flush_waits_until_they_are_sent() -> None:
    collector = Collector()
    exporting = Exporting(collector, Told())
    ended(exporting, 3)
    assert exporting.force_flush(int(DEADLINE_S * 1000))
    assert len(collector.taken) == 3
    exporting.close(monotonic() + DEADLINE_S)


def test_a_collector_that_refuses_is_told_of_once_and_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    told, collector = Told(), Collector(takes=False)
    exporting = Exporting(collector, told)
    for _ in range(3):
        ended(exporting, 10)
        exporting.force_flush(int(DEADLINE_S * 1000))
        assert told.has_any.wait(DEADLINE_S)
    assert told.fields() == [(10, "Failed: refused")]
    exporting.close(monotonic() + DEADLINE_S)
    assert told.fields() == [(10, "Failed: refused"), (20, "Failed: refused")]
    assert capfd.readouterr() == ("", "")


def test_a_collector_that_never_answers_holds_up_neither_tasks_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSES_WITHIN_S", 0.01)
    told, collector = Told(), Collector(is_open=False)
    exporting = Exporting(collector, told)
    ended(exporting, 1)
    exporting.force_flush(0)
    assert collector.asked.acquire(timeout=DEADLINE_S)
    ended(exporting, MOST_WAITING + 7)
    exporting.close(monotonic() + DEADLINE_S)
    collector.answers.set()
    assert told.fields() == [(MOST_WAITING + 8, "no answer came in time")]


def test_an_exporter_that_raises_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    collector, told = Collector(), Told()
    monkeypatch.setattr(collector, "export", lambda spans: 1 / 0)
    exporting = Exporting(collector, told)
    ended(exporting, 2)
    exporting.close(monotonic() + DEADLINE_S)
    assert told.fields() == [(2, "ZeroDivisionError: division by zero")]


@pytest.fixture
def provider() -> TracerProvider:
    collector = Collector()
    exporting = Exporting(collector, Told())
    provider = own_provider("billing/Prices", "host.billing.Prices.0", exporting)
    exporting.close(monotonic() + DEADLINE_S)
    return provider


def test_the_service_is_the_consumer_unless_it_has_a_name(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert provider.resource.attributes["service.name"] == "billing/Prices"
    assert provider.resource.attributes["service.instance.id"] == "host.billing.Prices.0"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "prices")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    exporting = Exporting(Collector(), Told())
    named = own_provider("billing/Prices", None, exporting).resource.attributes
    exporting.close(monotonic() + DEADLINE_S)
    assert (named["service.name"], named["deployment.environment.name"]) == ("prices", "staging")


def test_what_is_of_no_task_is_not_recorded(provider: TracerProvider) -> None:
    """An instrumented client would else begin a trace with each call that it makes in a task that is not traced."""
    tracer = provider.get_tracer("of the user")
    assert not tracer.start_span("GET /").is_recording()
    with tracer.start_as_current_span("process prices", attributes={CONSUMER: "billing/Prices"}) as span:
        assert span.is_recording()
        assert tracer.start_span("GET /").is_recording()


def test_a_forked_child_keeps_no_span_and_waits_for_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    exporting = Exporting(collector, Told())
    ended(exporting, 1)
    assert exporting.force_flush()
    with monkeypatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        child.setattr(exporting, "_lock", None)  # nobody may take it
        ended(exporting, 1)
        assert not exporting.force_flush()
    exporting.close(monotonic() + DEADLINE_S)
    assert len(collector.taken) == 1
