"""Tasks as spans, from the headers of Kafka's messages to a collector; and without one that answers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from integration.scenarios.collector import attributes, collecting
from integration.scenarios.running import Running
from integration.scenarios.small_masters import pool, stop, wait_for
from integration.test_suspects import Place
from servers.kafka import KafkaServer, TopicFactory

MODULE = "integration.scenarios.traced"
ALL = {"sample": 1.0, "most_per_second": 100_000.0}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
RECORDED = f"00-{TRACE}-{PARENT}-01".encode()
TASKS = 2_000


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:
        yield Place(tmp_path, masters)


def variables(endpoint: str, **more: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **more}


def handled(master: Running, name: str, tasks: int) -> None:
    wait_for(master, lambda found: pool(master, name)["handled"] == tasks, f"{tasks} tasks handled")


def test_tasks_of_a_topic_are_spans_of_their_producers_trace(
    place: Place, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("logins")
    producer = Producer({"bootstrap.servers": kafka.brokers, "log_level": 0})
    producer.produce(topic, b'{"uid": 1}', headers=[("traceparent", RECORDED)])
    producer.produce(topic, b'{"uid": 2, "bad": true}')
    assert producer.flush(60) == 0
    keys = {"brokers": kafka.brokers, "topic_name": topic, "consumer_group": topic, "traces": ALL}
    with collecting() as collector:
        named = variables(collector.endpoint, OTEL_EXPORTER_OTLP_HEADERS="tenant=gop")
        master = place.start("Traced", MODULE, environment=named, task_retry_times=1, **keys)
        place.wait(master, lambda: len(collector.spans) == 6, lambda: f"six spans, now {len(collector.spans)}")
        assert stop(master) == 0
        spans = collector.spans
        assert {header["tenant"] for header in collector.headers} == {"gop"}
    assert {resource["service.name"] for resource, _ in spans} == {"small/traced"}
    tasks = [(span, attributes(span)) for _, span in spans if span.name == f"process {topic}"]
    told = [(kept["messaging.kafka.offset"], kept["consumerd.attempt"], kept["consumerd.outcome"]) for _, kept in tasks]
    assert sorted(told) == [(0, 1, "done"), (1, 1, "again"), (1, 2, "dead")]
    assert {kept["messaging.consumer.group.name"] for _, kept in tasks} == {topic}
    assert {kept.get("error.type") for _, kept in tasks} == {None, "ValueError"}
    (first,) = (span for span, kept in tasks if kept["messaging.kafka.offset"] == 0)
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    inner = [span.parent_span_id for _, span in spans if span.name == "inner"]
    assert sorted(inner) == sorted(span.span_id for span, _ in tasks)


@pytest.mark.parametrize("is_there", [False, True], ids=["away", "hanging"])
def test_without_a_collector_that_answers_tasks_go_on_and_a_stop_ends(place: Place, is_there: bool) -> None:
    """It has less time than an export may take: the exporter's own timeout is longer than `stop_timeout`."""
    with contextlib.ExitStack() as opened:
        if is_there:
            collector = opened.enter_context(collecting(answers=False))
            endpoint = collector.endpoint
        else:
            taken = opened.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))  # and nobody listens
            endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        keys: dict[str, Any] = {"traces": ALL, "environment": variables(endpoint), "count": TASKS}
        master = place.start("Ticking", MODULE, **keys)
        handled(master, "ticking", TASKS)
        if is_there:
            assert collector.asked.wait(60)
        assert stop(master) == 0
    told = [line["spans"] for line in place.events("spans_dropped")]
    assert (sum(told), len(told) <= 2) == (TASKS, True)
    assert [line["end"] for line in place.events("worker_drained")] == ["drained"]
    log = place.directory.joinpath("log1").read_text()
    assert "Traceback" not in log
    assert "opentelemetry" not in log.lower().replace("otel_", "")


def test_a_provider_of_the_consumers_own_is_used(place: Place) -> None:
    master = place.start("WithProvider", MODULE, traces=ALL, count=3)
    handled(master, "withprovider", 3)
    assert stop(master) == 0
    assert place.directory.joinpath("log1").read_text().count("OWN process small/withprovider") == 3
