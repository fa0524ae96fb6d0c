"""The main job on real parts: 16 workers take logins from Kafka to MariaDB, while workers die and the broker restarts.

CONSUMERD_TEST_LOGINS is the number of records, 200,000 by default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from integration.scenarios.gop_database import create_tables, read_grants
from integration.scenarios.observer import GroupObserver
from integration.scenarios.produce_logins import read_expected
from integration.scenarios.running import Running, Slot, environment, running
from servers.kafka import KafkaServer
from servers.waiting import wait_until

LOGINS = int(os.environ.get("CONSUMERD_TEST_LOGINS", "200000"))
SETTING = "gop_consumer.settings:KAFKA_SERVER_SETTING"
PRODUCER = Path(__file__).parent / "scenarios" / "produce_logins.py"
TOPIC, GROUP = "login_task", "login_consumer"
PARTITIONS = WORKERS = 16
PROGRESS_S = 300.0


@dataclass
class Job:
    """The job under way, and who looks on."""

    master: Running
    group: GroupObserver
    ends: dict[int, int]
    killed: list[int] = field(default_factory=list)

    def wait_until_committed(self, share: float) -> None:
        """Until the group has committed so much of the topic: progress as the broker knows it."""
        wait_until(
            lambda: self.group.committed_total() >= share * LOGINS,
            deadline_s=PROGRESS_S,
            message=lambda: f"{share:.0%} committed, {self._now()}",
        )

    def _now(self) -> str:
        committed, trouble = self.group.committed_total(), self.group.trouble
        return f"now {committed} ({trouble=}): {self.master.status()}{self.master.tail()}"

    def kill_a_busy_worker(self) -> None:
        """SIGKILL to a worker that holds a partition with work left; until its replacement runs."""
        slot = wait_until(self._busy_slot, deadline_s=PROGRESS_S, message="a running worker with work left")
        self.master.kill_worker(slot)
        self.killed.append(slot.slot)

    def _busy_slot(self) -> Slot | None:
        """A running slot whose member holds a partition with work left, and that was not killed before."""
        busy = self._slots_with_work()
        return next((slot for slot in self.master.slots() if slot.is_running and slot.slot in busy), None)

    def _slots_with_work(self) -> set[int]:
        committed = self.group.committed()
        behind = {partition for partition, end in self.ends.items() if committed.get(partition, 0) < end}
        members = (member for member in self.group.members() if member.partitions & behind)
        return {member.slot for member in members} - set(self.killed)


def start_producer(kafka: KafkaServer, expected: Path) -> subprocess.Popen[bytes]:
    arguments = ["--brokers", kafka.brokers, "--topic", TOPIC, "--count", str(LOGINS), "--expected", str(expected)]
    return subprocess.Popen([sys.executable, str(PRODUCER), *arguments])


@pytest.mark.timeout(900)
def test_the_grants_say_what_the_records_say_though_workers_die_and_the_broker_restarts(
    restartable_kafka: KafkaServer, mariadb_url: str, state_dir: Path, tmp_path: Path
) -> None:
    kafka = restartable_kafka
    create_tables(mariadb_url)
    kafka.create_topic(TOPIC, PARTITIONS)
    expected = tmp_path / "expected.jsonl"
    env = environment(GOP_BROKERS=kafka.brokers, GOP_DATABASE=mariadb_url)
    with running(SETTING, state_dir=state_dir, log=tmp_path / "log", env=env) as master:
        producer = start_producer(kafka, expected)
        master.wait_until_ready(WORKERS)
        assert producer.wait(PROGRESS_S) == 0
        group = GroupObserver(kafka.brokers, topic=TOPIC, group=GROUP)
        job = Job(master, group, ends=group.ends(PARTITIONS))
        assert sum(job.ends.values()) == LOGINS

        job.wait_until_committed(0.1)
        job.kill_a_busy_worker()
        job.wait_until_committed(0.3)
        kafka.restart()
        job.wait_until_committed(0.5)
        job.kill_a_busy_worker()
        job.wait_until_committed(0.7)
        job.kill_a_busy_worker()
        job.wait_until_committed(1.0)

        assert group.committed() == job.ends
        assert len(set(job.killed)) == 3
        assert master.parked() == []
        assert master.stop() == 0, master.tail()
        assert master.descendants() == set()
    assert read_grants(mariadb_url) == read_expected(expected)
    assert group.committed() == job.ends
