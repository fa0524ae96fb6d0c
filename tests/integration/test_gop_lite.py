"""The five daemons of the example, with the world's faults and kills, balance: a short form of `make gop-lite`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from integration.scenarios.running import environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "gop"
DAEMONS = 5
END_S = 200


@pytest.mark.timeout(END_S + 60)
def test_nothing_is_lost_or_doubled_though_workers_and_the_master_are_killed() -> None:
    command = [sys.executable, "-m", "world.lite", "--scale", "0.1", "--seconds", "2", "--patience", "60"]
    env = environment(PYTHONPATH=str(EXAMPLE))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=END_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^(?:update|payment|check|archive) .* 0 +0 +0  ", done.stdout, re.MULTILINE)) == DAEMONS
    assert done.stdout.count("SIGKILL") == DAEMONS + 1, done.stdout
