"""The spans of tasks, by all runners: what they say, where they belong, and what they hang together with."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from consumerd import BaseConsumer, Dead, KafkaBaseConsumer, Retry
from consumerd.testing import Message, run_consumer
from consumerd.testing.running import Run
from unit.worker.conftest import Spans

ALL = {"traces": {"sample": 1.0, "most_per_second": 100_000.0}}
FEW = {"traces": {"sample": 1e-9}}
PRODUCER, PRODUCERS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def sent(value: object, *, recorded: bool = True, traceparent: bytes | None = None) -> Message:
    """A message with the context of whoever has made it."""
    made_in = f"00-{PRODUCER}-{PRODUCERS_SPAN}-{'01' if recorded else '00'}".encode()
    return Message(value, headers=(("x", None), ("traceparent", made_in if traceparent is None else traceparent)))


class Plain(KafkaBaseConsumer):
    """Its handler makes a span of its own, and fails as its record says."""

    def handle_task(self, offset: int, record: Any) -> object:
        return self.handle(record)

    def handle(self, record: Any) -> object:
        with trace.get_tracer("of the user").start_as_current_span("inner"):
            if record == "raise":
                raise ValueError("it is broken")
            if record == "later":
                return Retry(after=3600.0)
            if record == "dead":
                raise Dead("it is of no use")
        return None


class Hooked(Plain):
    """For the way task by task."""

    def pre_handle_task(self) -> None:
        """It comes between."""


class Around(Plain):
    async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # both are allowed
        return self.handle(record)


class Together(KafkaBaseConsumer):
    def handle_batch(self, tasks: list[Any]) -> None:
        for task in tasks:
            if task.record == "raise":
                raise ValueError("it is broken")
            if task.record == "fail":
                task.fail("of no use")
        with trace.get_tracer("of the user").start_as_current_span("inner"):
            pass


WAYS = pytest.mark.parametrize(
    ("consumer_class", "configs"),
    [
        (Plain, {}),
        (Hooked, {}),
        (Around, {}),
        (Plain, {"concurrency": 3}),
        (Around, {"concurrency": 3}),
        (Plain, {"concurrency": 3, "ordered": "key"}),
    ],
)


@WAYS
def test_a_task_is_a_span_within_its_producers_trace(
    spans: Spans, consumer_class: type, configs: dict[str, Any]
) -> None:
    run_consumer(consumer_class, [sent({"uid": 7})], configs=configs | ALL)
    (span,) = spans.of_tasks()
    assert span.name == "process test/consumer"
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == PRODUCER
    assert f"{span.parent.span_id:016x}" == PRODUCERS_SPAN
    assert [f"{link.context.span_id:016x}" for link in span.links] == [PRODUCERS_SPAN]
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "test/consumer",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.message.id": "test/consumer:0",
        "consumerd.consumer": "test/consumer",
        "consumerd.worker": 0,
        "consumerd.attempt": 1,
        "consumerd.outcome": "done",
    }


@WAYS
def test_what_the_handler_does_is_within_the_span_and_what_follows_is_not(
    spans: Spans, consumer_class: type, configs: dict[str, Any]
) -> None:
    run_consumer(consumer_class, [1, 2], configs=configs | ALL)
    tasks = [span.context for span in spans.of_tasks()]
    inner = [span.parent for span in spans.all() if span.name == "inner"]
    assert {each.span_id for each in inner if each} == {each.span_id for each in tasks if each}
    assert len(tasks) == len(inner) == 2
    assert not trace.get_current_span().get_span_context().is_valid


@WAYS
def test_a_failed_attempt_says_what_was_raised_and_what_becomes_of_the_task(
    spans: Spans, consumer_class: type, configs: dict[str, Any]
) -> None:
    run_consumer(consumer_class, ["raise", "dead", b"no JSON"], configs=configs | ALL)
    run_consumer(Plain, ["later"], configs=ALL)
    assert sorted(map(str, spans.told("consumerd.outcome", "error.type"))) == [
        "('dead', 'Dead')",
        "('dead', 'ValueError')",
        "('dead', 'undecodable')",
        "('retried', 'Retry')",
    ]
    by_error = {(span.attributes or {})["error.type"]: span for span in spans.of_tasks()}
    assert all(span.status.status_code is StatusCode.ERROR for span in by_error.values())
    (event,) = by_error["ValueError"].events
    assert event.name == "exception"
    attributes = event.attributes or {}
    assert attributes["exception.type"] == "ValueError"
    assert "raise ValueError" in str(attributes["exception.stacktrace"])
    assert by_error["Dead"].status.description == "the handler gave up: it is of no use"


@WAYS
def test_all_attempts_at_a_task_are_in_one_trace(spans: Spans, consumer_class: type, configs: dict[str, Any]) -> None:
    run_consumer(consumer_class, ["raise"], configs=configs | ALL | {"task_retry_times": 2})
    told = spans.told("consumerd.attempt", "consumerd.outcome")
    assert told == [(1, "again"), (2, "again"), (3, "dead")]
    assert len({span.context.trace_id for span in spans.of_tasks() if span.context}) == 1


@WAYS
def test_of_a_producer_that_recorded_nothing_the_task_begins_a_trace(
    spans: Spans, consumer_class: type, configs: dict[str, Any]
) -> None:
    run_consumer(consumer_class, [sent(1, recorded=False)], configs=configs | ALL)
    (span,) = spans.of_tasks()
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [PRODUCER]


@WAYS
@pytest.mark.parametrize("traceparent", [b"", b"\xff\xfe", b"00-0-0-01", b"0" * 55, b"00-" + b"0" * 60])
def test_a_header_that_makes_no_sense_is_none(
    spans: Spans, consumer_class: type, configs: dict[str, Any], traceparent: bytes
) -> None:
    run = run_consumer(consumer_class, [sent(1, traceparent=traceparent)], configs=configs | ALL)
    (span,) = spans.of_tasks()
    assert (run.done, span.parent, len(span.links)) == (1, None, 0)


@WAYS
def test_nothing_is_traced_of_what_was_not_chosen(spans: Spans, consumer_class: type, configs: dict[str, Any]) -> None:
    run = run_consumer(consumer_class, [sent(1), "raise", 2], configs=configs | FEW)
    assert (run.done, len(run.dead())) == (2, 1)
    assert spans.of_tasks() == []


@WAYS
def test_a_producer_that_was_traced_is_followed(spans: Spans, consumer_class: type, configs: dict[str, Any]) -> None:
    records = [sent(1, recorded=False), sent(2), 3, sent(4), Message(5, headers=(("traceparent", None),))]
    follow = {"traces": {"sample": 1e-9, "follow_parent": True}}
    run = run_consumer(consumer_class, records, configs=configs | follow)
    assert run.done == 5
    assert sorted(map(str, spans.told("messaging.kafka.offset"))) == ["(1,)", "(3,)"]


def test_the_tasks_between_two_traced_ones_go_the_fast_way(spans: Spans) -> None:
    run = run_consumer(Plain, list(range(1000)), configs={"traces": {"sample": 0.05, "most_per_second": 1e5}})
    assert run.done == 1000
    assert 10 < len(spans.of_tasks()) < 150
    offsets = [offset for (offset,) in spans.told("messaging.kafka.offset")]
    assert offsets == sorted(set(map(int, map(str, offsets))))


def test_a_batch_is_a_span_with_a_link_for_each_message(spans: Spans) -> None:
    run_consumer(Together, [sent(1), sent(2, recorded=False), 3], configs=ALL)
    (span,) = spans.of_tasks()
    assert span.parent is None
    assert (span.attributes or {})["messaging.batch.message_count"] == 3
    assert [(link.attributes or {})["messaging.kafka.offset"] for link in span.links] == [0, 1]
    (inner,) = (each for each in spans.all() if each.name == "inner")
    assert inner.parent == span.context
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_batch_that_fails_is_one_and_so_is_each_of_its_tasks(spans: Spans) -> None:
    run = run_consumer(Together, [1, "raise", "fail"], configs=ALL)
    assert (run.done, len(run.dead())) == (1, 2)
    sizes = [count for (count,) in spans.told("messaging.batch.message_count")]
    assert sizes == [3, 1, 1, 1]
    assert [span.status.status_code for span in spans.of_tasks()] == [
        *(StatusCode.ERROR, StatusCode.UNSET, StatusCode.ERROR, StatusCode.ERROR)
    ]


def test_a_tombstone_is_one(spans: Spans) -> None:
    run_consumer(Plain, [Message(None)], configs=ALL)
    assert spans.told("messaging.kafka.message.tombstone", "consumerd.outcome") == [(True, "done")]


class InMemory(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> object:
        return Retry(after=5.0) if self.attempt == 1 else None


def test_a_parked_task_that_is_due_is_traced_with_the_number_of_its_attempt(spans: Spans) -> None:
    run = Run(InMemory, [1], configs=ALL)
    run.until_idle()
    run.advance(10.0)
    names = ("messaging.system", "messaging.kafka.offset", "consumerd.attempt", "consumerd.outcome")
    assert spans.told(*names) == [("consumerd", None, 1, "retried"), ("consumerd", None, 2, "done")]
    run.stop()
