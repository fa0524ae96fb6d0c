"""What the master makes of a lag that is told, for a pool whose number of workers is a range."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.config.shape import ConsumerSettings
from consumerd.events.facts import Fact
from consumerd.master.duties.autoscaler import OLD_LAG_S, autoscale, scaling_of, shards_of
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.pools import Pools
from consumerd.master.rules import history
from consumerd.master.rules.flow import MeasuredLag
from consumerd.model.identity import ConsumerName
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import Assignment, Loaded
from consumerd.wire.status import Scaling
from unit.master.pools.test_messages import tools

NAME = ConsumerName("g", "a")
LOOK_S = 7.5


def entry(workers: int | WorkerRange) -> Entry:
    settings = ConsumerSettings(group="g", name="a", target="m:C", configs={}, common=CommonKeys(workers=workers))
    return Entry(settings, Assignment("{}", "{}", "", "", "id.g.a"), StateDirectory(Path()), 25.0)


class Stage:
    """A pool that is up; each look tells its lag, and fills the slots that are wanted by then."""

    def __init__(self, workers: int | WorkerRange) -> None:
        self.facts: list[Fact] = []
        self.pools = Pools([entry(workers)], tools(self.facts), 0.0)
        self.pool = self.pools[NAME]
        self.pool.become(history.loaded(history.zygote_executed(self.pool.observed, 1, 100, 0.0), 1, 0.0))
        self.now = 0.0

    def look(self, *behind: int, finished: int = 0) -> int:
        """Tell the lag of each shard; how many workers are wanted then."""
        for number in range(self.pool.wanted.workers):
            if not self.pool.observed.slots[number].is_occupied:
                asked = history.fork_asked(self.pool.observed, number, 1, self.now)
                self.pool.become(history.ready(asked, number, self.now))
        self.now += LOOK_S
        self.pool.tally.dead.handled += finished
        self.pool.lag = MeasuredLag(tuple((shard, tasks, None, 0) for shard, tasks in enumerate(behind)), self.now)
        autoscale(self.pool, self.now)
        return self.pool.wanted.workers

    def scaling(self) -> Scaling:
        found = scaling_of(self.pool, self.now)
        assert found is not None
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage(WorkerRange(min=1, max=8, target_seconds=30.0))


def burst(stage: Stage) -> int:
    stage.look(6000)
    stage.look(5925, finished=75)
    return stage.look(5850, finished=75)


def test_a_pool_begins_with_the_least_and_grows_with_its_lag(stage: Stage) -> None:
    assert stage.look(0) == 1
    assert burst(stage) == 8
    assert stage.facts[-1].name == "pool_autoscaled"
    assert stage.facts[-1].fields["before"] == 1
    assert "20 workers wanted, 8 are allowed" in stage.scaling().reason


def test_a_fixed_number_is_left_alone() -> None:
    stage = Stage(2)
    assert burst(stage) == 2
    assert scaling_of(stage.pool, 0.0) is None


def test_a_pinned_number_wins_and_what_would_be_wanted_is_shown(stage: Stage) -> None:
    stage.pool.scale(3, 0.0)
    assert burst(stage) == 3
    assert (stage.scaling().wanted, stage.facts) == (8, [])
    assert stage.scaling().reason.startswith("pinned to 3 by hand; else: ")
    stage.pool.scale(None, stage.now)
    assert stage.pool.wanted.workers == 3, "it goes on from there"
    assert stage.look(5800, finished=75) == 8


def test_where_no_lag_is_known_the_number_stays_and_that_is_said(stage: Stage) -> None:
    assert burst(stage) == 8
    stage.look()
    stage.look()
    assert stage.pool.wanted.workers == 8
    assert stage.scaling().reason == "8 stay: how many tasks wait is not known"
    stage.look(10)
    stage.now += OLD_LAG_S + 1
    assert "not known" in stage.scaling().reason


def test_a_paused_pool_keeps_its_number(stage: Stage) -> None:
    stage.pool.is_paused = True
    assert burst(stage) == 1
    assert "paused" in stage.scaling().reason


def test_nothing_changes_while_a_change_is_on_trial(stage: Stage) -> None:
    stage.look(6000)
    stage.pool.change(entry(WorkerRange(min=1, max=8, target_seconds=30.0)), stage.now)
    assert burst(stage) == 1
    assert "on trial" in stage.scaling().reason


def test_the_shards_of_a_source_limit_what_helps(stage: Stage) -> None:
    stage.pool.note_loaded(1, Loaded("kafka", {"unlimited_workers": False}))
    for number in range(3):
        wanted = stage.look(3000, 3000, 3000, finished=75 * bool(number))
    assert wanted == 3
    assert ", 3 help: its source has 3 partitions" in stage.scaling().reason


def test_another_range_of_the_configuration_holds_at_once(stage: Stage) -> None:
    assert burst(stage) == 8
    stage.pool.amend(entry(WorkerRange(min=2, max=4, target_seconds=30.0)), stage.now)
    assert stage.pool.wanted.workers == 4
    stage.pool.amend(entry(6), stage.now)
    assert stage.pool.wanted.workers == 6


def test_as_many_workers_help_as_a_source_of_partitions_has(stage: Stage) -> None:
    assert shards_of(stage.pool) is None
    stage.look(0, 0, 0, 0)
    assert shards_of(stage.pool) is None  # any number of workers shares a table
    stage.pool.note_loaded(1, Loaded("kafka", {"unlimited_workers": False}))
    assert shards_of(stage.pool) == 4
