"""The spans of tasks, by OpenTelemetry's conventions for messaging. Runs in workers and the foreground."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time_ns

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from consumerd.config.keys.traces import Traces
from consumerd.model.failure import Failure
from consumerd.model.outcome import Dead, Done, Expired, Outcome, Retry, Skipped
from consumerd.model.task import Task
from consumerd.sources.abilities import HasHeaders
from consumerd.sources.contract import Batch
from consumerd.worker.attempts.attempt import Attempt, Conclusion, Ending, Raised, Refused, Unfinished
from consumerd.worker.attempts.tracer import AttemptSpan, BatchSpan
from consumerd.worker.traces.sampler import Sampler

OPERATION = "process"
KAFKA = "kafka"
OUR_SYSTEM = "consumerd"
"""The messaging system of tasks that no broker has handed out: rows, runs of a schedule."""

CONSUMER = "consumerd.consumer"
"""Each of our spans has it, from the start: a sampler may know them by it."""

Attributes = dict[str, AttributeValue]
Headers = Sequence[tuple[str, bytes | None]]

TRACEPARENT = "traceparent"
FLAGS_AT = 54
"""Of a `traceparent`, `00-…32…-…16…-01`: the digit whose last bit says whether the trace is recorded."""


@dataclass(frozen=True)
class Place:
    """Where tasks come from, as each span says it.

    consumer: by its full name. kind: of its source. group: the consumer group, where there is one.
    """

    consumer: str
    worker: int
    kind: str
    group: str | None

    def attributes(self, source: str) -> Attributes:
        found: Attributes = {
            "messaging.system": KAFKA if self.kind == KAFKA else OUR_SYSTEM,
            "messaging.operation.name": OPERATION,
            "messaging.operation.type": OPERATION,
            "messaging.destination.name": source,
            CONSUMER: self.consumer,
            "consumerd.worker": self.worker,
        }
        if self.group is not None:
            found["messaging.consumer.group.name"] = self.group
        return found

    def of_task(self, task: Task) -> Attributes:
        """What tells the task from others; never its key or its payload, which may be anybody's data."""
        found: Attributes = {} if task.id is None else {"messaging.message.id": task.id}
        if self.kind == KAFKA:
            found["messaging.destination.partition.id"] = str(task.shard)
            found["messaging.kafka.offset"] = task.position
        if task.is_tombstone:
            found["messaging.kafka.message.tombstone"] = True
        return found


class OtelTracer:
    """The `Tracer` of one worker."""

    def __init__(
        self,
        tracer: trace.Tracer,
        place: Place,
        keys: Traces,
        now: Callable[[], float],
        close: Callable[[float], None],
    ) -> None:
        """now: the monotonic clock. close: sends what has ended, by a time on it."""
        self.close = close
        self._tracer = tracer
        self._place = place
        self._now = now
        self._follows = keys.follow_parent
        self._lock = threading.Lock()
        self._sampler = Sampler(keys.sample, keys.most_per_second, now())

    def next_in(self, batch: Batch, start: int) -> int:
        with self._lock:
            self._sampler.look(self._now())
            stop: int = min(len(batch.raws), start + self._sampler.left)
        if self._follows and isinstance(batch, HasHeaders):
            for index in range(start, stop):
                headers = batch.headers(batch.raws[index])
                if headers and is_recorded(headers):
                    return index
        return stop

    def pass_by(self, tasks: int) -> None:
        with self._lock:
            self._sampler.pass_by(tasks)

    def begin(self, attempt: Attempt) -> AttemptSpan | None:
        before, task = attempt.span, attempt.task
        if isinstance(before, TaskSpan):
            before.end(None, None)  # where nobody has judged it
        elif not self._takes([task.headers]):
            return None
        attributes = self._place.attributes(task.source) | self._place.of_task(task)
        attributes["consumerd.attempt"] = task.attempts + 1
        parent = context_of(task.headers)
        made_in = trace.get_current_span(parent).get_span_context()
        if not (made_in.is_valid and made_in.trace_flags.sampled):
            # in a trace that its producer has not recorded, the span would hang in the air: it begins one of its own
            first = before.span if isinstance(before, TaskSpan) else trace.INVALID_SPAN
            parent = trace.set_span_in_context(first, parent)
        links = [Link(made_in)] if made_in.is_valid else []
        span = self._tracer.start_span(f"{OPERATION} {task.source}", parent, SpanKind.CONSUMER, attributes, links)
        attempt.span = begun = TaskSpan(span, parent)
        return begun

    def begin_batch(self, tasks: Sequence[Task]) -> BatchSpan | None:
        if not self._takes([task.headers for task in tasks]):
            return None
        source = tasks[0].source
        attributes = self._place.attributes(source) | {"messaging.batch.message_count": len(tasks)}
        if self._place.kind == KAFKA and len({task.shard for task in tasks}) == 1:
            attributes["messaging.destination.partition.id"] = str(tasks[0].shard)
        links = [link for task in tasks for link in links_to(task.headers, self._place.of_task(task))]
        name = f"{OPERATION} {source}"
        return TasksSpan(self._tracer.start_span(name, Context(), SpanKind.CONSUMER, attributes, links))

    def _takes(self, of_tasks: Sequence[Headers]) -> bool:
        with self._lock:
            takes = self._sampler.takes(self._now())
        return takes or (self._follows and any(map(is_recorded, of_tasks)))


class TaskSpan:
    """The span of one attempt: current from the first moment to `leave`, and open until it is judged."""

    def __init__(self, span: Span, parent: Context) -> None:
        self.span = span
        self._token = contexts.attach(trace.set_span_in_context(span, parent))
        self._ended_at: int | None = None
        self._is_open = True

    def leave(self) -> None:
        contexts.detach(self._token)
        self._ended_at = time_ns()

    def end(self, ended: Ending | None, conclusion: Conclusion | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        if ended is not None:
            self.span.set_attribute("consumerd.outcome", "again" if conclusion is None else word_of(conclusion.outcome))
            note_ending(self.span, ended, None if conclusion is None else conclusion.failure)
        self.span.end(self._ended_at)

    def __del__(self) -> None:
        self.end(None, None)  # of a task that its worker has left


class TasksSpan:
    """The span of one attempt at many tasks, with a link to where each comes from."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = contexts.attach(trace.set_span_in_context(span))

    def end(self, endings: Sequence[Ending] | None) -> None:
        contexts.detach(self._token)
        failed = [ended for ended in endings or () if not isinstance(ended, Done)]
        for ended in failed[:1]:
            note_ending(self._span, ended)
        self._span.set_attribute("consumerd.batch.failed_count", len(failed))
        if endings is None:
            self._span.set_status(StatusCode.ERROR, "its tasks are tried one by one")
        self._span.end()


def is_recorded(headers: Headers) -> bool:
    """Whether the message says that its producer has recorded the trace that it is of."""
    for name, value in headers:
        if name == TRACEPARENT and value is not None and len(value) > FLAGS_AT:
            return value[FLAGS_AT] in b"13579bdf"
    return False


def context_of(headers: Headers) -> Context:
    """What the headers say of the trace, and the baggage, by whatever propagators are set; empty where nothing."""
    fields = propagate.get_global_textmap().fields
    carrier = {name: value.decode("latin-1") for name, value in headers if value is not None and name in fields}
    return propagate.extract(carrier, Context()) if carrier else Context()


def links_to(headers: Headers, attributes: Mapping[str, AttributeValue] | None = None) -> list[Link]:
    """A link to where the message was made, where its headers say that."""
    made_in = trace.get_current_span(context_of(headers)).get_span_context()
    return [Link(made_in, attributes)] if made_in.is_valid else []


def word_of(outcome: Outcome | Unfinished) -> str:
    """As the metrics have it."""
    match outcome:
        case Done():
            return "done"
        case Retry():
            return "retried"
        case Dead():
            return "dead"
        case Expired():
            return "expired"
        case Skipped():
            return "skipped"
        case Unfinished():
            return "unfinished"


def note_ending(span: Span, ended: Ending, judged: Failure | None = None) -> None:
    """What is wrong, where something is: without secrets, as it is parked. judged: as it was concluded."""
    match ended:
        case Done():
            return
        case Raised(verdict=None):
            kind = f"{ended.kind.__module__}.{ended.kind.__qualname__}".removeprefix("builtins.")
        case Raised():
            kind = type(ended.verdict).__name__
        case Refused():
            kind = "undecodable"
        case _:
            kind = type(ended).__name__
    failure = ended.failure if isinstance(ended, Raised | Refused) else judged or Failure("")
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, failure.error)
    if failure.traceback:
        event = {"exception.type": kind, "exception.message": failure.error, "exception.stacktrace": failure.traceback}
        span.add_event("exception", event)
