"""What drills have started ends with their world, though one of them fails before it mends what it broke."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from integration.scenarios.drills.servers import IN_TURN, TOGETHER
from integration.scenarios.drills.world import Drill, World


class WithoutMaster(World):
    def start(self) -> None:
        """No master runs."""


def _fail_in(world: World, drill: Drill) -> None:
    with world.run():
        drill.break_(world)
        raise TimeoutError("it was not found")


def test_a_member_that_joins_and_leaves_ends_with_its_world(tmp_path: Path) -> None:
    (drill,) = [drill for drill in (*TOGETHER, *IN_TURN) if drill.entry == "restless"]
    servers = {"kafka": SimpleNamespace(brokers="127.0.0.1:1"), "topic-restless": "restless"}
    world = WithoutMaster(tmp_path, tmp_path, servers)
    with pytest.raises(TimeoutError):
        _fail_in(world, drill)
    member: subprocess.Popen[bytes] = world.servers["member"]
    is_over = member.poll() is not None
    member.kill()
    assert is_over
