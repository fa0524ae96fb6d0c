"""What `consumerd scale` refuses."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.dashboard.pages.pool import scaled
from consumerd.errors import UsageError
from consumerd.model.slots import MOST_WORKERS
from consumerd.verbs.scale import Scale, usual_most


def test_a_pool_whose_one_worker_keeps_the_order_is_not_scaled() -> None:
    entry = SimpleNamespace(settings=SimpleNamespace(common=CommonKeys(ordered="key")))
    pool = SimpleNamespace(consumer="g/accounts", newest_entry=entry, traits={"claimed_by_any": True})
    master: Any = SimpleNamespace(configuration=SimpleNamespace(changeable=lambda target: [pool]))
    with pytest.raises(UsageError, match='g/accounts has ordered = "key": its one worker keeps the order'):
        asyncio.run(Scale(target="g", workers=2).answer(master, "root"))


@pytest.mark.parametrize("workers", [0, -1, MOST_WORKERS + 1, 999_999])
def test_more_workers_than_the_configuration_takes_are_refused(workers: int) -> None:
    master: Any = SimpleNamespace()  # is not asked
    with pytest.raises(UsageError, match=f"must be 1 to {MOST_WORKERS}, and is {workers}"):
        asyncio.run(Scale(target="g", workers=workers).answer(master, "root"))


MANY = usual_most() + 1


def pool_of(wanted: int) -> Any:
    """A pool that runs so many."""
    entry = SimpleNamespace(settings=SimpleNamespace(common=CommonKeys()))
    return SimpleNamespace(consumer="g/mails", newest_entry=entry, traits={}, wanted=SimpleNamespace(workers=wanted))


def pinned(scale: Scale, wanted: int = 2) -> list[int]:
    """What a master makes of it whose pool runs so many."""
    found: list[int] = []
    pool = pool_of(wanted)
    configuration = SimpleNamespace(changeable=lambda target: [pool], pin=lambda pools, workers: found.append(workers))
    master: Any = SimpleNamespace(
        configuration=configuration, emit=lambda fact: None, wake=lambda: None, helping=lambda pool: None
    )
    asyncio.run(scale.answer(master, "root"))
    return found


def test_more_workers_than_a_machine_carries_are_run_only_where_that_is_said() -> None:
    with pytest.raises(UsageError, match=f"g/mails: {MANY} workers are more than .*: say it with --yes"):
        pinned(Scale("g", MANY))
    assert pinned(Scale("g", MANY, yes=True)) == [MANY]
    assert pinned(Scale("g", MANY - 1)) == [MANY - 1]
    assert pinned(Scale("g", MANY), wanted=MANY + 5) == [MANY], "fewer than now"


def test_who_sits_at_a_terminal_is_asked_about_so_many_alone() -> None:
    assert Scale("g", MANY).question().endswith("Run so many?")
    assert [Scale("g", MANY, yes=True).question(), Scale("g", 5).question(), Scale("g").question()] == ["", "", ""]


def test_on_the_page_the_number_of_so_many_is_typed_twice() -> None:
    assert scaled({"target": "g", "workers": "5"}) == Scale("g", 5)
    assert scaled({"target": "g", "workers": "5000", "again": " 5000"}) == Scale("g", 5000, yes=True)
    with pytest.raises(UsageError, match="'5000' was typed, and then '500'"):
        scaled({"target": "g", "workers": "5000", "again": "500"})


def test_the_form_of_the_page_takes_what_the_verb_takes() -> None:
    form = files("consumerd.dashboard").joinpath("templates/pool.html").read_text()
    assert 'name="workers" type="number" min="1" max="{{ usual_most }}"' in form
    assert 'name="again" type="number" min="1" max="{{ most_workers }}"' in form
