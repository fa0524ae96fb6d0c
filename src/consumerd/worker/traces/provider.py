"""Whose provider of tracers a worker takes, and what ours is. Runs in workers and the foreground.

A provider that the consumer's code has set is used as it is. Where there is none, ours is set, so that spans which the
handler or an instrumented client makes are within those of tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from consumerd.clock import monotonic
from consumerd.config.keys.traces import Traces
from consumerd.version import __version__
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.traces.exporter_log import say_seldom
from consumerd.worker.traces.exporting import CLOSES_WITHIN_S, Exporting, otlp_exporter, resource_of, span_limits
from consumerd.worker.traces.spans import CONSUMER, OtelTracer, Place


def tracer_of(context: WorkerContext, kind: str, keys: Traces, *, may_export: bool) -> Tracer | None:
    """What traces the tasks of this worker, from a source of this kind. After the fork, and after `pre_consume`."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        if not may_export:
            return None
        exporting = Exporting(otlp_exporter(), context.emit)
        provider = own_provider(context.name, context.member, exporting)
        trace.set_tracer_provider(provider)
        close: Callable[[float], None] = exporting.close
    else:
        close = _flusher(provider)
        say_seldom(monotonic)
    group = getattr(context.options, "consumer_group", None)
    place = Place(context.name, context.shard.index, kind, group)
    return OtelTracer(provider.get_tracer("consumerd", __version__), place, keys, context.clock.monotonic, close)


def own_provider(consumer: str, member: str | None, exporting: Exporting) -> TracerProvider:
    """Ours: as the variables OTEL_* say."""
    resource = resource_of(consumer, member)
    provider = TracerProvider(ParentBased(OfTasks()), resource, shutdown_on_exit=False, span_limits=span_limits())
    provider.add_span_processor(exporting)
    return provider


class OfTasks(Sampler):
    """Records traces that begin with a task: which these are is chosen before. What else a process does has none."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        is_of_task = attributes is not None and CONSUMER in attributes
        return SamplingResult(Decision.RECORD_AND_SAMPLE if is_of_task else Decision.DROP, attributes)

    def get_description(self) -> str:
        return "consumerd's tasks"


def _flusher(provider: Any) -> Callable[[float], None]:  # whatever the consumer's code has set
    """Has another's provider send what it has: by its own code, which may take its time, so in a thread."""
    flush = getattr(provider, "force_flush", None)

    def close(deadline: float) -> None:
        if flush is not None:
            flushing = threading.Thread(target=flush, name="traces", daemon=True)
            flushing.start()
            flushing.join(max(0.0, min(CLOSES_WITHIN_S, deadline - monotonic())))

    return close
