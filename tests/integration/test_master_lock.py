"""Two masters cannot share a state directory: with two real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumerd.errors import StateDirectoryError
from consumerd.state.locks import hold
from consumerd.state.state_dir import StateDirectory

HOLDER = """
import sys
from pathlib import Path
from consumerd.state.locks import hold
from consumerd.state.state_dir import StateDirectory
lock = hold(StateDirectory(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""


def holder(directory: StateDirectory) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "state")
    made.prepare()
    return made


def test_the_second_master_is_told_who_the_first_is_until_that_is_killed(directory: StateDirectory) -> None:
    with holder(directory) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(StateDirectoryError, match=rf"pid {first.pid} .*--state-dir"):
            hold(directory)
        first.kill()
    hold(directory).release()


def test_the_lock_is_given_up_with_release(directory: StateDirectory) -> None:
    hold(directory).release()
    with holder(directory) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "held\n"
        second.kill()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_names_the_option(directory: StateDirectory) -> None:
    directory.path.chmod(0o500)
    with pytest.raises(StateDirectoryError, match="--state-dir"):
        directory.prepare()
