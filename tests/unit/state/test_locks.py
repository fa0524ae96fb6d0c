"""The locks in a state directory that is removed or replaced, and ending their holders only while they are meant."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from consumerd.state.locks import hold, holder_of, kill_if
from consumerd.state.state_dir import StateDirectory


def test_a_lock_whose_file_is_gone_is_not_in_place_until_it_is_taken_again(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    directory.prepare()
    lock = hold(directory)
    assert lock.is_in_place
    shutil.rmtree(directory.path)
    assert not lock.is_in_place
    directory.prepare()
    directory.master_lock.touch()
    assert not lock.is_in_place
    lock.take_again()
    assert lock.is_in_place
    lock.release()


NO_PID = 1_000_000_000  # above what any kernel gives


def test_nobody_else_holds_a_lock_that_is_free_or_our_own(state_dir: Path) -> None:
    with (state_dir / "lock").open("w+b") as file:
        assert holder_of(file.fileno()) is None
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert holder_of(file.fileno()) is None


def test_a_process_that_is_not_meant_any_more_is_left_alone() -> None:
    assert not kill_if(os.getpid(), lambda: False)


def test_a_process_that_has_ended_is_nobody_to_kill() -> None:
    asked: list[None] = []
    assert not kill_if(NO_PID, lambda: asked.append(None) is None)
    assert asked == []
