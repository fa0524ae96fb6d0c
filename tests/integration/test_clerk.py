"""The clerk that has the Kafka clients: what befalls it, or its broker, costs an answer and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from integration.scenarios.observer import GroupObserver
from servers.clerk import Clerk, ClerkError
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import has_ended, wait_until

PATIENCE_S = 60.0


@pytest.fixture
def clerk(kafka: KafkaServer) -> Clerk:
    """The broker's clerk, at work."""
    assert kafka.is_serving()
    return kafka.clerk


def asked(clerk: Clerk, within_s: float = PATIENCE_S) -> object:
    return clerk.ask("is_serving", within_s=within_s)


def test_a_clerk_that_died_is_replaced_at_the_next_question(clerk: Clerk) -> None:
    died = clerk.pid
    assert died is not None
    os.kill(died, signal.SIGKILL)
    with pytest.raises(ClerkError, match=r"is_serving.*: the clerk ended with -9"):
        asked(clerk)
    assert asked(clerk) is True
    assert clerk.pid != died


def test_a_clerk_that_gives_no_answer_in_time_is_ended_and_replaced(clerk: Clerk) -> None:
    silent = clerk.pid
    assert silent is not None
    os.kill(silent, signal.SIGSTOP)
    with pytest.raises(ClerkError, match=r"is_serving.*: no answer in 0.1 s"):
        asked(clerk, 0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(silent, 0)
    assert asked(clerk) is True


def test_what_the_broker_refuses_is_an_error_and_leaves_the_clerk_at_work(
    kafka: KafkaServer, kafka_topic: TopicFactory, clerk: Clerk
) -> None:
    topic, at_work = kafka_topic(), clerk.pid
    with pytest.raises(ClerkError, match="TOPIC_ALREADY_EXISTS"):
        kafka.create_topic(topic)
    assert asked(clerk) is True
    assert clerk.pid == at_work


def test_an_observer_sees_nothing_while_the_broker_is_away_and_sees_again_when_it_is_back(
    restartable_kafka: KafkaServer, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic(partitions=2)
    group = GroupObserver(restartable_kafka.clerk, topic=topic, group=topic)
    assert group.ends(2) == {0: 0, 1: 0}
    restartable_kafka.kill()
    assert group.committed() == {}
    assert isinstance(group.trouble, ClerkError)
    assert group.members() == ()
    restartable_kafka.start()
    wait_until(
        lambda: group.committed() == {} and group.trouble is None,
        PATIENCE_S,
        lambda: f"the group is not seen again: {group.trouble}",
    )


def test_a_clerk_ends_with_the_run_that_is_killed(kafka: KafkaServer) -> None:
    script = (
        "import sys; from servers.clerk import Clerk; clerk = Clerk('servers.kafka_clerk', sys.argv[1]);"
        "clerk.ask('is_serving', within_s=60); print(clerk.pid, flush=True); input()"
    )
    command = [sys.executable, "-c", script, kafka.brokers]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        clerk = os.pidfd_open(int(run.stdout.readline()))
        run.send_signal(signal.SIGKILL)
    try:
        wait_until(lambda: has_ended(clerk), PATIENCE_S, "the clerk goes on")
    finally:
        os.close(clerk)
