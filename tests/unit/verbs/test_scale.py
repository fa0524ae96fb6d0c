"""What `consumerd scale` refuses."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.errors import UsageError
from consumerd.model.slots import MOST_WORKERS
from consumerd.verbs.scale import Scale


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


def test_the_form_of_the_page_takes_what_the_verb_takes() -> None:
    form = files("consumerd.dashboard").joinpath("templates/pool.html").read_text()
    assert 'name="workers" type="number" min="1" max="{{ most_workers }}"' in form
