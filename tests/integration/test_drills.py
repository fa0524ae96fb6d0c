"""Drills: each is broken for real, the doctor's first finding is the cause, and its advice ends it.

Those of a host share a master; `make drills` runs all of them, each by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.drills import hosts
from integration.scenarios.drills.world import World, run_together
from servers.environment import is_ci
from servers.packages import UnavailableError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem that can be filled."""
    with contextlib.ExitStack() as exits:
        try:
            yield exits.enter_context(hosts.small_disk(tmp_path / "disk"))
        except UnavailableError as error:
            pytest.fail(str(error), pytrace=False) if is_ci() else pytest.skip(str(error))


@pytest.mark.timeout(200)
def test_what_a_host_suffers_is_found_and_ended(small_disk: Path, tmp_path: Path) -> None:
    world = World(tmp_path, small_disk)
    for drill in hosts.DRILLS:
        drill.prepare(world)
    with world.run():
        assert world.findings() == []
        for drill in hosts.DRILLS:
            run_together(world, [drill])
