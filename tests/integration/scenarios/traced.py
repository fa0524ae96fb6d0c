"""Consumers whose tasks are traced."""

from __future__ import annotations

from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from consumerd import BaseConsumer, KafkaBaseConsumer


class Traced(KafkaBaseConsumer):
    """Makes a span of its own, in which what is `bad` fails."""

    def handle_task(self, offset: int, record: Any) -> None:
        with trace.get_tracer("logins").start_as_current_span("inner"):
            if record.get("bad"):
                raise ValueError("a bad one")


class Ticking(BaseConsumer):
    """Tasks in memory."""

    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> None:
        """Done at once."""


class WithProvider(Ticking):
    """Has a provider of its own, which writes to stdout."""

    def pre_consume(self) -> None:
        provider = TracerProvider()
        provider.add_span_processor(
            BatchSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"OWN {span.name}\n"))
        )
        trace.set_tracer_provider(provider)
