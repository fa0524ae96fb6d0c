"""What `consumerd scale` refuses."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.errors import UsageError
from consumerd.verbs.scale import Scale


def test_a_pool_whose_one_worker_keeps_the_order_is_not_scaled() -> None:
    entry = SimpleNamespace(settings=SimpleNamespace(common=CommonKeys(ordered="key")))
    pool = SimpleNamespace(consumer="g/accounts", newest_entry=entry, traits={"claimed_by_any": True})
    master: Any = SimpleNamespace(configuration=SimpleNamespace(changeable=lambda target: [pool]))
    with pytest.raises(UsageError, match='g/accounts has ordered = "key": its one worker keeps the order'):
        asyncio.run(Scale(target="g", workers=2).answer(master, "root"))
