"""Drills: each is broken for real, the doctor's first finding is the cause, and its advice ends it.

They share masters where none hides another; `make drills` runs all twenty, each by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.drills import handlers, hosts
from integration.scenarios.drills.world import World, run_together
from integration.scenarios.healthy import Healthy
from servers.environment import is_ci
from servers.kafka import KafkaServer
from servers.packages import UnavailableError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem that can be filled."""
    with contextlib.ExitStack() as exits:
        try:
            yield exits.enter_context(hosts.small_disk(tmp_path / "disk"))
        except UnavailableError as error:
            pytest.fail(str(error), pytrace=False) if is_ci() else pytest.skip(str(error))


@pytest.mark.timeout(400)
def test_what_handlers_do_is_found_and_ended(state_dir: Path, tmp_path: Path) -> None:
    world = World(tmp_path, state_dir)
    for drill in handlers.DRILLS:
        drill.prepare(world)
    with world.run():
        assert world.findings() == []
        run_together(world, handlers.DRILLS)


@pytest.mark.timeout(200)
def test_what_a_host_suffers_is_found_and_ended(small_disk: Path, tmp_path: Path) -> None:
    world = World(tmp_path, small_disk)
    for drill in hosts.DRILLS:
        drill.prepare(world)
    with world.run():
        assert world.findings() == []
        for drill in hosts.DRILLS:
            run_together(world, [drill])


@pytest.mark.timeout(200)
def test_where_all_is_well_nothing_is_found_whatever_operators_do(
    state_dir: Path, tmp_path: Path, kafka: KafkaServer, mariadb_url: str
) -> None:
    healthy = Healthy(tmp_path, state_dir, kafka, mariadb_url)
    healthy.run(20.0, look_every_s=0.5, operate_every_s=1.0)
    assert healthy.found == []
    assert healthy.looks > 3
    assert sum(healthy.operations.values()) > 2
    assert all(healthy.handled.values())
