"""The five daemons of the example balance on real servers, through a spike and kills: a short form of `make gop`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from integration.scenarios.running import environment
from servers import kafka, mariadb
from servers.environment import is_ci
from servers.packages import UnavailableError

DAEMONS = 5
END_S = 480


@pytest.mark.timeout(END_S + 60)
def test_nothing_is_lost_or_doubled_though_all_is_killed(tmp_path: Path) -> None:
    try:
        kafka.ensure_installed()
        mariadb.ensure_installed()
    except UnavailableError as error:
        if is_ci():
            raise
        pytest.skip(str(error))
    picture = tmp_path / "gop.svg"
    command = [sys.executable, "-m", "integration.scenarios.gop", "--seconds", "20", "--patience", "150"]
    command += ["--picture", str(picture)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=END_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^(?:update|payment|check|archive) .* 0 +0 +0  ", done.stdout, re.MULTILINE)) == DAEMONS
    for killed in ("a worker of gop_logins", "the zygote", "the master", "the broker", "the database"):
        assert f"SIGKILL to {killed}" in done.stdout, done.stdout
    assert picture.read_text().endswith("</svg>\n")
