"""A handler that forks: its child never goes on as a second worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("scenarios") / "forking_consumer.py"


@pytest.mark.parametrize("how", ["exits", "raises", "returns", "terminated"])
def test_each_task_is_handled_once_by_the_worker_alone(how: str, state_dir: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    environment = os.environ | {"CONSUMERD_STATE_DIR": str(state_dir)}
    command = [sys.executable, str(SCRIPT), str(ledger), how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in ledger.read_text().splitlines()]
    assert [int(offset) for offset, _ in lines] == list(range(12))
    assert len({pid for _, pid in lines}) == 1
