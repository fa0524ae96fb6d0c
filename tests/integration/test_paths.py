"""Paths that are removed or replaced while a master runs: its directory, its state, its socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import SOON_S, assert_nothing_left, entry, stop, wait_running, write_config
from servers.waiting import wait_until

Start = Callable[[], Running]
MODULE = """
from pathlib import Path
from integration.scenarios.small_pools import Counting as Base

class Counting(Base):
    def pre_consume(self):
        with Path({told!r}).open("a") as told:
            told.write("{word}\\n")
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as masters:

        def begin() -> Running:
            config = write_config(tmp_path, entry("Counting", 1))
            state_dir, log = tmp_path / "state", tmp_path / "log"
            return masters.enter_context(running(config, state_dir=state_dir, log=log, env=environment()))

        yield begin


def status_answers(master: Running) -> bool:
    return master.verb("status").returncode == 0


def test_what_is_removed_of_the_state_is_made_anew_and_no_second_master_runs_beside(start: Start) -> None:
    master = start()
    wait_running(master, 1)
    master.answer("scale", "small/counting", "2")
    own_id = (master.state_dir / "id").read_text()
    os.kill(master.process.pid, signal.SIGSTOP)
    (master.state_dir / "control.sock").unlink()
    told = master.verb("status")
    os.kill(master.process.pid, signal.SIGCONT)
    assert told.returncode == 1
    assert f"the master with pid {master.process.pid} runs" in told.stderr.decode()
    wait_until(lambda: status_answers(master), deadline_s=SOON_S, message="the socket")
    shutil.rmtree(master.state_dir)
    wait_until(lambda: status_answers(master), deadline_s=SOON_S, message="the state directory")
    assert "state_directory_made" in master.log.read_text()
    assert (master.state_dir / "id").read_text() == own_id
    assert '"small/counting"' in (master.state_dir / "overrides.json").read_text()
    second = start()
    assert second.process.wait(SOON_S) == 2
    assert f"the master with pid {master.process.pid} uses the state directory" in master.log.read_text()
    assert stop(master) == 0


def test_a_master_whose_state_another_one_has_taken_leaves(start: Start) -> None:
    master = start()
    wait_running(master, 1)
    os.kill(master.process.pid, signal.SIGSTOP)
    shutil.rmtree(master.state_dir)
    second = start()
    wait_running(second, 1)
    os.kill(master.process.pid, signal.SIGCONT)
    assert master.process.wait(SOON_S) == 1
    assert f"was replaced: the master with pid {second.process.pid} uses" in second.log.read_text()
    assert_nothing_left(master)
    assert status_answers(second)
    assert stop(second) == 0


class Release:
    """A directory with a configuration and its module, as a deploy lays it down."""

    def __init__(self, place: Path, told: Path, word: str) -> None:
        place.mkdir()
        (place / "released.py").write_text(MODULE.format(told=str(told), word=word))
        write_config(place, entry("Counting", 1, module="released", tag_of_release=word))


@pytest.mark.parametrize("is_link", [False, True], ids=["replaced", "by a symbolic link"])
def test_a_directory_that_a_deploy_replaces_is_entered_again(tmp_path: Path, *, is_link: bool) -> None:
    told, current = tmp_path / "told", tmp_path / "current"
    Release(tmp_path / "first" if is_link else current, told, "first")
    if is_link:
        current.symlink_to("first")
    env = {**environment(), "PWD": str(current)}
    command = [sys.executable, "-m", "consumerd", "run", "config.json", "--state-dir", str(tmp_path / "state")]
    with (tmp_path / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--parking", "embedded"], cwd=current, env=env, stdout=log, stderr=log, start_new_session=True
        )
    master = Running(process, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment())
    try:
        wait_running(master, 1)
        if is_link:
            current.unlink()
            Release(tmp_path / "second", told, "second")
        else:
            shutil.rmtree(current)
        refused = master.verb("reload")
        assert refused.returncode == 2
        assert b"cannot be entered" in refused.stderr
        os.kill(process.pid, signal.SIGHUP)
        wait_until(
            lambda: master.log.read_text().count("reload_refused") == 2, deadline_s=SOON_S, message="both refusals"
        )
        if is_link:
            current.symlink_to("second")
        else:
            Release(current, told, "second")
        master.answer("restart", "small/counting", "--wait")
        assert told.read_text().split() == ["first", "second"]
        assert master.answer("reload", "--wait")["changes"] == ["small/counting replaced (tag_of_release)"]
        assert "Traceback" not in master.log.read_text()
        assert stop(master) == 0
    finally:
        master.kill_all()


def test_verbs_in_a_directory_that_is_gone_say_so_or_need_it_not(start: Start, tmp_path: Path) -> None:
    master = start()
    wait_running(master, 1)
    gone = tmp_path / "gone"
    line = f"mkdir {gone} && cd {gone} && rmdir {gone} && exec {sys.executable} -P -m consumerd"
    for words, exit_code in ((f"status --state-dir {master.state_dir}", 0), ("status --state-dir state", 2)):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{line} {words}"], env=environment(), capture_output=True, timeout=SOON_S, check=False
        )
        assert done.returncode == exit_code, done.stderr
        assert (b"current directory was removed" in done.stderr) == (exit_code == 2)
    assert stop(master) == 0
