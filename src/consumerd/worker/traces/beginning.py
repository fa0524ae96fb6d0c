"""How a worker begins to trace. Runs in workers and the foreground; imports OpenTelemetry where that is needed."""

from __future__ import annotations

from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.traces import require


def begin_traces(context: WorkerContext, kind: str, *, may_export: bool = True) -> Tracer | None:
    """What traces the tasks of this worker, from a source of this kind; None where nothing is to.

    may_export: without it, spans go only where the consumer's code has seen to that.
    """
    keys = context.common.traces
    if keys is None:
        return None
    require()
    from consumerd.worker.traces.provider import tracer_of

    return tracer_of(context, kind, keys, may_export=may_export)
