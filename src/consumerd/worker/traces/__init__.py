"""Traces of tasks by OpenTelemetry, where the key `traces` asks for them."""

from __future__ import annotations

from consumerd.errors import MissingExtraError


def require() -> None:
    """Import what traces need: before the fork, so that workers share it. Nothing is opened.

    MissingExtraError where it is not there; UsageError where the environment says what cannot be.
    """
    try:
        from opentelemetry import propagate  # noqa: F401 - it is there from here on, as all the others

        from consumerd.worker.traces import exporting
    except ModuleNotFoundError as error:
        is_ours = (error.name or "").startswith("consumerd")
        raise (error if is_ours else MissingExtraError("The key traces", "otel")) from error
    exporting.otlp_exporter().shutdown()  # it imports its client only now
    exporting.resource_of("", None)  # it looks for what is installed
    exporting.span_limits()
