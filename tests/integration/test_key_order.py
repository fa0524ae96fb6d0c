"""Order by key on Kafka, through kills, rebalances, restarts and retries; `make order` has ten minutes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from integration.scenarios import key_order
from integration.scenarios.running import READY_S, environment, running
from integration.scenarios.small_masters import entry, write_config
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until

SECONDS = 12.0
SEED = 7
PARTITIONS = 4


@pytest.mark.parametrize("consumer", ["KeyedTasks", "AwaitedKeyedTasks"])
def test_tasks_of_a_key_never_run_at_once_nor_out_of_order(
    consumer: str, state_dir: Path, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("keyed", key_order.PARTITIONS)
    order = key_order.KeyOrder(state_dir, kafka.brokers, topic, consumer=consumer, seed=SEED)
    assert order.run(SECONDS, acts_a_second=0.7) == [], order
    assert order.done.total() >= SECONDS / 4, "hardly anything happened to it"
    assert any(run.how == "failed" for run in order.runs)


@pytest.mark.parametrize("consumer", ["SlowTasks", "AwaitedSlowTasks"])
def test_tasks_that_run_end_before_their_partition_is_another_workers(
    consumer: str, state_dir: Path, kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    """Where lanes are free the loop is in its fetch, and learns there that a partition is to go."""
    topic, history = kafka_topic("slow", PARTITIONS), state_dir / "history"
    history.touch()
    producer = Producer({"bootstrap.servers": kafka.brokers})
    for number in range(2 * PARTITIONS):
        producer.produce(topic, json.dumps({"number": number}), key=b"%d" % number, partition=number % PARTITIONS)
    producer.flush(30)
    configs = {"brokers": kafka.brokers, "topic_name": topic, "consumer_group": topic, "history": str(history)}
    configs |= {"concurrency": 20, "ordered": "key", "task_s": 6.0, "stop_timeout": 20}
    config = write_config(state_dir, entry(consumer, module="integration.scenarios.keyed_tasks", **configs))

    def lines(what: str) -> list[str]:
        return [line.split()[1] for line in history.read_text().splitlines() if line.startswith(what)]

    with running(config, state_dir=state_dir / "state", log=state_dir / "log", env=environment()) as master:
        wait_until(lambda: len(lines("begin")) == 2 * PARTITIONS, READY_S, lambda: f"all run{master.tail()}")
        assert master.verb("scale", f"small/{consumer.lower()}", "2").returncode == 0
        wait_until(lambda: len(set(lines("end"))) == 2 * PARTITIONS, READY_S, lambda: f"all end{master.tail()}")
        wait_until(lambda: len(master.slots()) == 2, READY_S, lambda: f"both{master.tail()}")
        assert master.stop() == 0, master.tail()
    assert sorted(map(int, lines("begin"))) == list(range(2 * PARTITIONS)), "some ran twice"
