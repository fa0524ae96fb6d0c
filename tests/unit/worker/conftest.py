"""What tests of traces share: the spans that have ended, in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

EXPORTER = InMemorySpanExporter()


class Spans:
    """Those that have ended since the test began, in the order in which they began."""

    def all(self) -> list[ReadableSpan]:
        return sorted(EXPORTER.get_finished_spans(), key=lambda span: span.start_time or 0)

    def of_tasks(self) -> list[ReadableSpan]:
        return [span for span in self.all() if span.kind is trace.SpanKind.CONSUMER]

    def told(self, *names: str) -> list[tuple[object, ...]]:
        """These attributes of each span of a task."""
        return [tuple((span.attributes or {}).get(name) for name in names) for span in self.of_tasks()]


@pytest.fixture
def spans() -> Iterator[Spans]:
    """A process has one provider for good: the first test that asks sets it."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
        trace.set_tracer_provider(provider)
    EXPORTER.clear()
    yield Spans()
    EXPORTER.clear()
