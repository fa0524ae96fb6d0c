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

    def wait_until_divided(self) -> None:
        """Until each worker has its partition: the group is complete. A worker that dies while the group divides them
        is another test's.
        """
        wait_until(
            lambda: self._is_over() or sum(bool(member.partitions) for member in self.group.members()) == WORKERS,
            deadline_s=PROGRESS_S,
            message=lambda: f"{WORKERS} members with partitions, {self._now()}",
        )

    def _now(self) -> str:
        committed, trouble = self.group.committed_total(), self.group.trouble
        return f"now {committed} ({trouble=}): {self.master.status()}{self.master.tail()}"

    def kill_a_busy_worker(self) -> None:
        """SIGKILL to a worker with work left, just after it has committed; until its replacement runs.

        That is the worst moment for whoever commits what is not finished: it would never come again.
        """
        wait_until(
            lambda: self._busy_slot() or self._is_over(),
            deadline_s=PROGRESS_S,
            message="a running worker with work left",
        )
        if (busy := self._busy_slot()) is None:
            return  # a quick machine has done it all
        slot, partitions = busy
        before = self._committed_of(partitions)
        wait_until(
            lambda: self._committed_of(partitions) > before or self._is_over(),
            deadline_s=PROGRESS_S,
            message=lambda: f"a commit by slot {slot.slot}, {self._now()}",
        )
        self.master.kill_worker(slot)
        self.killed.append(slot.slot)

    def _is_over(self) -> bool:
        return self.group.committed() == self.ends

    def _busy_slot(self) -> tuple[Slot, frozenset[int]] | None:
        """A running slot that was not killed before, and whose member has the most work left; its partitions."""
        committed = self.group.committed()
        left = {number: end - committed.get(number, 0) for number, end in self.ends.items()}
        running = {slot.slot: slot for slot in self.master.slots() if slot.is_running and slot.slot not in self.killed}
        busy = [
            (sum(left[number] for number in member.partitions), member.slot, member.partitions)
            for member in self.group.members()
            if member.instance and member.slot in running
        ]
        most, number, partitions = max(busy, default=(0, 0, frozenset()))
        return (running[number], partitions) if most else None

    def _committed_of(self, partitions: frozenset[int]) -> int:
        committed = self.group.committed()
        return sum(committed.get(number, 0) for number in partitions)


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
        group = GroupObserver(kafka.clerk, topic=TOPIC, group=GROUP)
        job = Job(master, group, ends=group.ends(PARTITIONS))
        assert sum(job.ends.values()) == LOGINS

        job.wait_until_committed(0.1)
        job.wait_until_divided()
        job.kill_a_busy_worker()
        job.wait_until_committed(0.3)
        kafka.restart()
        job.wait_until_committed(0.5)
        job.kill_a_busy_worker()
        job.wait_until_committed(0.7)
        job.kill_a_busy_worker()
        job.wait_until_committed(1.0)

        assert group.committed() == job.ends
        assert 1 <= len(set(job.killed)) == len(job.killed)
        assert master.parked() == []
        assert master.stop() == 0, master.tail()
        assert master.descendants() == set()
    assert read_grants(mariadb_url) == read_expected(expected)
    assert group.committed() == job.ends
