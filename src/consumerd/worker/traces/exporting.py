"""Sends spans to a collector, from a thread of its own, for which no task waits. Runs in workers and the foreground.

What a collector does not take is dropped, and told of now and then, with how many they were.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_SPAN_LINK_COUNT_LIMIT
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import UsageError
from consumerd.events.facts import Fact
from consumerd.model.slots import MOST_LANES
from consumerd.worker.traces.exporter_log import TOLD_EVERY_S, LastWords

MOST_WAITING = 4096
AT_ONCE = 512
EVERY_S = 2.0
CLOSES_WITHIN_S = 2.0
"""A stop waits so long, at most, for the last spans to be taken."""

UNNAMED = "unknown_service"
TOO_MANY = "more came than could be sent"
ADVICE = "look whether a collector answers at OTEL_EXPORTER_OTLP_ENDPOINT; tasks go on meanwhile"


def otlp_exporter() -> SpanExporter:
    """As the environment says; what makes no sense there, the library passes over."""
    return OTLPSpanExporter()


def resource_of(consumer: str, member: str | None) -> Resource:
    """What sends spans, as the environment says; with the consumer's name for the service's, where that names none."""
    found = Resource.create({} if member is None else {"service.instance.id": member})
    if str(found.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
        found = found.merge(Resource({SERVICE_NAME: consumer}))
    return found


def span_limits() -> SpanLimits:
    """As the environment says; where it does not, a batch has room for a link to each of its messages.

    UsageError where the environment says what cannot be.
    """
    try:
        return SpanLimits(max_links=None if OTEL_SPAN_LINK_COUNT_LIMIT in os.environ else MOST_LANES)
    except ValueError as error:
        raise UsageError(f"{error}: correct it, or leave it out") from error


class Exporting(SpanProcessor):
    """Of one worker: a queue of bounded length, and the thread that empties it."""

    def __init__(self, exporter: SpanExporter, emit: Callable[[Fact], None]) -> None:
        """Its thread begins, so not before the fork. emit: is told of what is dropped."""
        self._process = os.getpid()
        self._exporter = exporter
        self._emit = emit
        self._waiting: deque[ReadableSpan] = deque()
        self._lock = threading.RLock()  # a span may be collected as garbage at any moment, and ends then
        self._wake, self._is_empty = threading.Event(), threading.Event()
        self._is_closing = False
        self._dropped = self._in_hand = 0
        self._tell_at = 0.0
        self._reason = LastWords()
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        if os.getpid() != self._process:
            return  # of a child that a handler has forked: no thread sends there, and one here may have held the lock
        with self._lock:
            if len(self._waiting) >= MOST_WAITING or self._is_closing:
                self._dropped += 1
                return
            self._is_empty.clear()
            self._waiting.append(span)
            is_much = len(self._waiting) == AT_ONCE
        if is_much:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits; false where that takes longer, and in a forked child, where nothing waits."""
        if os.getpid() != self._process:
            return False
        self._wake.set()
        return self._is_empty.wait(timeout_millis / 1000)

    def close(self, deadline: float) -> None:
        """Send what waits, by `deadline` on the monotonic clock and within a moment; tell how many were dropped."""
        with self._lock:
            self._is_closing = True
        self._wake.set()
        self._thread.join(max(0.0, min(CLOSES_WITHIN_S, deadline - monotonic())))
        if self._thread.is_alive():
            self._reason.text = "no answer came in time"
        self._exporter.shutdown()
        with self._lock:
            self._dropped += len(self._waiting) + self._in_hand
            self._in_hand = 0
            self._waiting.clear()
        self._tell()

    def _run(self) -> None:
        while not self._is_closing:
            self._wake.wait(EVERY_S)
            self._wake.clear()
            self._send()
            if self._dropped and monotonic() >= self._tell_at:
                self._tell_at = monotonic() + TOLD_EVERY_S
                self._tell()
        self._send()

    def _send(self) -> None:
        """All that waits; or one part of it, where that is not taken: the rest waits for its turn."""
        is_taken = True
        while is_taken:
            with self._lock:
                batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
                self._in_hand = len(batch)
                if not batch:
                    self._is_empty.set()
                    return
            try:
                is_taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
            except Exception as error:  # noqa: BLE001 - of whatever exporter: it is told of
                self._reason.text, is_taken = f"{type(error).__name__}: {error}", False
            if not is_taken:
                with self._lock:
                    self._dropped += self._in_hand
                    self._in_hand = 0
                    if not self._waiting:
                        self._is_empty.set()

    def _tell(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._emit(events.spans_dropped(spans=dropped, error=self._reason.text or TOO_MANY, advice=ADVICE))
            self._reason.text = ""
