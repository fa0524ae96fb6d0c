"""What is wanted of pools while they come, go, and come again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import ConsumerSettings
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.pools import Pools
from consumerd.master.rules import history
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, ZygoteState
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import Assignment, Loaded
from unit.master.pools.test_messages import tools

NAME = ConsumerName("g", "a")


def entry(**configs: object) -> Entry:
    common = CommonKeys.model_validate({key: value for key, value in configs.items() if key in CommonKeys.model_fields})
    settings = ConsumerSettings(group="g", name="a", target="m:C", configs=configs, common=common)
    return Entry(settings, Assignment("{}", str(configs), "", "", "id.g.a"), StateDirectory(Path("/nowhere")), 25.0)


@pytest.fixture
def pools() -> Pools:
    """One pool, which drains."""
    pools = Pools([entry()], tools(), 0.0)
    pools[NAME].remove(1.0)
    pools[NAME].become(pools[NAME].observed.becomes(PoolState.STOPPING, 1.0))
    return pools


def gone(pools: Pools) -> None:
    pools[NAME].become(pools[NAME].observed.becomes(PoolState.GONE, 2.0))
    pools.forget_gone(2.0)


def test_a_pool_that_is_added_while_it_drains_comes_when_it_is_gone(pools: Pools) -> None:
    pools.add(entry(workers=3), 1.0)
    assert not pools[NAME].is_wanted
    assert [found.common.workers for found in pools.settings()] == [3]
    gone(pools)
    assert pools[NAME].is_wanted
    assert pools[NAME].wanted.workers == 3


def test_one_that_is_removed_again_does_not_come(pools: Pools) -> None:
    pools.add(entry(), 1.0)
    pools[NAME].remove(1.0)
    assert pools.settings() == ()
    gone(pools)
    assert len(pools) == 0


def test_one_that_is_changed_meanwhile_comes_as_it_is_then(pools: Pools) -> None:
    pools.add(entry(), 1.0)
    pools[NAME].change(entry(color="blue"), 1.0)
    pools[NAME].amend(entry(color="blue", workers=2), 1.0)
    gone(pools)
    assert pools[NAME].newest_entry.settings.configs == {"color": "blue", "workers": 2}
    assert pools[NAME].wanted.workers == 2


def test_what_was_pinned_holds_for_one_that_comes_again(pools: Pools) -> None:
    pools.add(entry(workers=2), 1.0, pin=4)
    gone(pools)
    assert pools[NAME].wanted.workers == 4


def test_nothing_comes_once_the_master_stops(pools: Pools) -> None:
    pools.add(entry(), 1.0)
    pools.want_stop(1.0)
    gone(pools)
    assert len(pools) == 0


def test_what_an_edition_on_trial_reads_says_nothing_of_the_established_one(pools: Pools) -> None:
    pools = Pools([entry()], tools(), 0.0)
    pools[NAME].note_loaded(1, Loaded("table", {"splits_keys": False}))
    pools[NAME].become(history.loaded(history.zygote_executed(pools[NAME].observed, 1, 100, 0.0), 1, 0.0))
    pools[NAME].change(entry(color="blue"), 1.0)
    pools[NAME].note_loaded(2, Loaded("query", {"splits_keys": True}))
    pools[NAME].become(history.rejected(pools[NAME].observed, 2, reason="no", traceback=""))
    assert pools[NAME].traits == {"splits_keys": False}


def test_an_older_edition_is_amended_in_what_the_master_acts_on_and_in_nothing_else() -> None:
    pools = Pools([entry(user="nobody", color="red")], tools(), 0.0)
    pools[NAME].become(history.loaded(history.zygote_executed(pools[NAME].observed, 1, 100, 0.0), 1, 0.0))
    pools[NAME].change(entry(color="blue"), 1.0)
    pools[NAME].amend(entry(color="blue", workers=3, max_unavailable=2), 2.0)
    old, new = pools[NAME].entry_of(1), pools[NAME].entry_of(2)
    assert (old.settings.common.workers, old.settings.common.max_unavailable) == (3, 2)
    assert (old.settings.common.user, old.settings.configs["color"]) == ("nobody", "red")
    assert not old.settings.execution.is_plain
    assert (new.settings.common.workers, new.settings.configs["color"]) == (3, "blue")
    assert pools[NAME].wanted.workers == 3


def test_editions_that_nobody_runs_any_more_are_forgotten() -> None:
    pools = Pools([entry()], tools(), 0.0)
    for edition in range(1, 20):
        pools[NAME].note_loaded(edition, Loaded("table", {}))
        pool = history.loaded(history.zygote_executed(pools[NAME].observed, edition, 100, 0.0), edition, 0.0)
        slots = {number: replace(slot, edition=edition) for number, slot in pool.slots.items()}
        pools[NAME].become(replace(pool, slots=slots, established=edition))
        if edition > 1:
            leaving = pools[NAME].observed.zygote_becomes(edition - 1, ZygoteState.LEAVING, 0.0, deadline=1.0)
            pools[NAME].become(history.zygote_ended(leaving, edition - 1, 0.0, jitter=0.0))
        pools[NAME].change(entry(color=str(edition)), 1.0)
    assert set(pools[NAME].observed.zygotes) <= {18, 19, 20}
    assert set(pools[NAME].loaded) <= {18, 19, 20}
