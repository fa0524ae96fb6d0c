"""The parking store goes away while tasks fail: nothing lost, nothing settled past them, no attempt too many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from integration.scenarios.ledger_consumers import read_attempts
from integration.scenarios.observer import GroupObserver
from integration.scenarios.running import Running, environment, running
from integration.scenarios.store_away import CannotTakeAwayError, Thief, full, held, read_only, replaced
from servers.environment import is_ci
from servers.kafka import KafkaServer, TopicFactory
from servers.waiting import wait_until

PARTITIONS = 2
WORKERS = 2
RETRIES = 1
FAILING_A_PARTITION = 5
GOOD_A_WAVE = 50
FILLING = "x" * 200_000  # so that a full disk has no room left for it, wherever the store keeps a free page
END_S = 60.0

CONFIG = """
[[scenario]]
class = "integration.scenarios.ledger_consumers:LedgerConsumer"

[scenario.configs]
workers = {workers}
brokers = "{brokers}"
topic_name = "{topic}"
consumer_group = "{topic}_group"
task_retry_times = {retries}
settle_interval = 0.2
ledger = "{ledger}"
"""

Way = Callable[[Path], AbstractContextManager[Thief]]


class Scenario:
    """One topic, what was produced into it, and what the consumers wrote down."""

    def __init__(self, kafka: KafkaServer, topic: str, folder: Path) -> None:
        self.topic = topic
        self.ledger = folder / "attempts.jsonl"
        self.config = folder / "store_away.toml"
        self.config.write_text(
            CONFIG.format(brokers=kafka.brokers, topic=topic, ledger=self.ledger, workers=WORKERS, retries=RETRIES)
        )
        self.group = GroupObserver(kafka.clerk, topic=topic, group=f"{topic}_group")
        self.good: set[str] = set()
        self.failing: set[str] = set()
        self._producer = Producer({"bootstrap.servers": kafka.brokers})

    def produce_good(self, wave: str) -> None:
        """One wave of records that are handled at once."""
        names = {f"good {wave} {number}" for number in range(GOOD_A_WAVE)}
        self.good |= names
        for number, name in enumerate(sorted(names)):
            self._producer.produce(self.topic, json.dumps({"name": name}), partition=number % PARTITIONS)
        assert self._producer.flush(30) == 0

    def produce_failing(self, when: str) -> None:
        """The records that fail, the same number in each partition."""
        for number in range(FAILING_A_PARTITION * PARTITIONS):
            name = f"failing {when} {number}"
            self.failing.add(name)
            record = {"name": name, "fails": True, "filling": FILLING}
            self._producer.produce(self.topic, json.dumps(record), partition=number % PARTITIONS)
        assert self._producer.flush(30) == 0

    def attempts(self) -> Counter[str]:
        """How often each name was attempted."""
        return Counter(attempt.name for attempt in read_attempts(self.ledger))

    def wait_until_attempted(self, master: Running, names: set[str]) -> None:
        wait_until(
            lambda: names <= set(self.attempts()),
            deadline_s=END_S,
            message=lambda: f"attempts at {sorted(names - set(self.attempts()))[:3]}{master.tail()}",
        )

    def wait_until_shared(self, master: Running) -> None:
        """Until each worker has a partition, and has handled tasks of it: nothing moves any more."""
        wait_until(
            lambda: [len(member.partitions) for member in self.group.members()] == [1] * WORKERS,
            deadline_s=END_S,
            message=lambda: f"one partition for each worker, now {self.group.members()}{master.tail()}",
        )
        self.produce_good("shared")
        self.wait_until_attempted(master, self.good)

    def wait_until_settled(self, master: Running) -> dict[int, int]:
        """Until the group has committed everything; the offsets."""
        ends = self.group.ends(PARTITIONS)
        wait_until(
            lambda: self.group.committed() == ends,
            deadline_s=END_S,
            message=lambda: f"all settled, now {self.group.committed()} of {ends}{master.tail()}",
        )
        return ends


def ensure_taken_away_or_skipped(error: CannotTakeAwayError) -> None:
    """A machine that cannot do it skips the test with the reason; under CI=true that is a failure."""
    if is_ci():
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(params=[read_only, full, replaced, held], ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Way:
    """One way to take the store away."""
    chosen: Way = request.param
    return chosen


@dataclass(frozen=True)
class Away:
    """A scenario with its thief."""

    scenario: Scenario
    thief: Thief
    state_dir: Path

    def running(self) -> AbstractContextManager[Running]:
        """The master on the scenario's configuration."""
        config, log = self.scenario.config, self.scenario.config.with_suffix(".log")
        return running(str(config), state_dir=self.state_dir, log=log, env=environment())


@pytest.fixture
def scenario(kafka: KafkaServer, kafka_topic: TopicFactory, tmp_path: Path) -> Scenario:
    """A topic with one wave of good records, and some that fail: the store is in use from the start."""
    scenario = Scenario(kafka, kafka_topic("store-away", PARTITIONS), tmp_path)
    scenario.produce_good("before")
    scenario.produce_failing("before")
    return scenario


@pytest.fixture
def away(way: Way, scenario: Scenario, state_dir: Path) -> Iterator[Away]:
    """The scenario, with a store that can be taken away."""
    try:
        with way(state_dir) as thief:
            yield Away(scenario, thief, state_dir)
    except CannotTakeAwayError as error:
        ensure_taken_away_or_skipped(error)


def let_tasks_fail_while_away(away: Away, master: Running) -> dict[int, int]:
    """Take the store away and let tasks fail, good ones behind them; what was committed before."""
    scenario = away.scenario
    scenario.wait_until_shared(master)
    settled = scenario.wait_until_settled(master)
    away.thief.take()
    scenario.produce_failing("away")
    for wave in ("first", "second", "third"):
        scenario.produce_good(wave)
        scenario.wait_until_attempted(master, scenario.failing | scenario.good)
        assert scenario.group.committed() == settled, "settled past a task that is neither done nor parked"
    wait_until(
        lambda: any("store_away" in slot.flags for slot in master.slots()),
        deadline_s=END_S,
        message=lambda: f"a status that says so, now {master.status()}",
    )
    return settled


@pytest.mark.timeout(240)
def test_tasks_that_fail_while_the_store_is_away_are_parked_when_it_is_back(away: Away) -> None:
    scenario = away.scenario
    with away.running() as master:
        let_tasks_fail_while_away(away, master)
        listed = master.verb("parked", "list")
        assert listed.returncode in (0, 1)
        assert b"Traceback" not in listed.stderr

        away.thief.give_back()
        scenario.wait_until_settled(master)
        parked = master.parked()
        assert len(parked) == len(scenario.failing)
        assert {task["attempts"] for task in parked} == {RETRIES + 1}
        assert {task["state"] for task in parked} == {"dead"}
        wait_until(
            lambda: not any(slot.flags for slot in master.slots()),
            deadline_s=END_S,
            message=lambda: f"a status that is well again, now {master.status()}",
        )
        assert master.stop() == 0, master.tail()
    expected = Counter(dict.fromkeys(scenario.good, 1)) + Counter(dict.fromkeys(scenario.failing, RETRIES + 1))
    assert scenario.attempts() == expected


@pytest.mark.parametrize("way", [replaced], ids=["replaced"])
@pytest.mark.timeout(240)
def test_a_stop_while_the_store_is_away_gives_the_failed_tasks_back(away: Away) -> None:
    scenario = away.scenario
    with away.running() as master:
        settled = let_tasks_fail_while_away(away, master)
        assert master.stop() == 0, master.tail()
        assert master.descendants() == set()
    assert scenario.group.committed() == settled

    away.thief.give_back()
    with away.running() as master:
        scenario.wait_until_settled(master)
        assert len(master.parked()) == len(scenario.failing)
        assert master.stop() == 0, master.tail()
    assert set(scenario.attempts()) == scenario.good | scenario.failing
