"""What a reload finds to be different, on a pool that no process is of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumerd.config.shape import Document, Settings
from consumerd.master.control.configuration import Configuration
from consumerd.master.control.limits import Limits
from consumerd.master.control.overrides import NOTHING_BY_HAND
from consumerd.wire.messages import Loaded
from consumerd.wire.shared_table import SharedTable
from unit.master.pools.test_messages import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, tmp_path)
    yield stage
    stage.close()
    loop.close()


@pytest.mark.parametrize(
    ("traits", "changed", "together"),
    [
        ({"splits_keys": True}, {"task_timeout": 7.0}, []),
        ({"splits_keys": True}, {"workers": 3}, ["g/a"]),
        ({"splits_keys": True}, {"max_unavailable": 2}, []),
        ({"splits_keys": True}, {"workers": 3, "enabled": False}, []),
        ({"splits_keys": False}, {"workers": 3}, []),
    ],
)
def test_workers_that_divide_the_keys_by_their_number_are_replaced_with_another_number(
    stage: Stage, traits: dict[str, bool], changed: dict[str, Any], together: list[str]
) -> None:
    settings = stage.pool.entry.settings
    before = Document(origin="x.toml", directory=Path(), settings=Settings(), consumers=(settings,))
    stage.up()
    stage.pool.note_loaded(1, Loaded("query", traits))
    common = settings.common.model_copy(update=changed)
    after = before.model_copy(update={"consumers": (settings.model_copy(update={"common": common}),)})
    configuration = Configuration(
        stage.pools,
        stage.facts.append,
        before,
        lambda document, consumer: stage.pool.entry,
        overrides=NOTHING_BY_HAND,
        overrides_file=Path("none"),
        limits=Limits(SharedTable.create(), Settings(), lambda settings: None),
        wake=lambda: None,
    )
    assert configuration.reload(after, is_dry=True).together == together
