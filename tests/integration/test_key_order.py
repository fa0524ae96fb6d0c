"""Order by key on Kafka, through kills, rebalances, restarts and retries; `make order` has ten minutes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.scenarios import key_order
from servers.kafka import KafkaServer, TopicFactory

SECONDS = 12.0
SEED = 7


@pytest.mark.parametrize("consumer", ["KeyedTasks", "AwaitedKeyedTasks"])
def test_tasks_of_a_key_never_run_at_once_nor_out_of_order(
    consumer: str, state_dir: Path, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("keyed", key_order.PARTITIONS)
    order = key_order.KeyOrder(state_dir, kafka.brokers, topic, consumer=consumer, seed=SEED)
    assert order.run(SECONDS, acts_a_second=0.7) == [], order
    assert order.done.total() >= SECONDS / 4, "hardly anything happened to it"
    assert any(run.how == "failed" for run in order.runs)
