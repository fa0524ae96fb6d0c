"""The lock of a state directory that is removed or replaced while it is held."""

from __future__ import annotations

import shutil
from pathlib import Path

from consumerd.state import master_lock
from consumerd.state.state_dir import StateDirectory


def test_a_lock_whose_file_is_gone_is_not_in_place_until_it_is_taken_again(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path / "state")
    directory.prepare()
    lock = master_lock.hold(directory)
    assert lock.is_in_place
    shutil.rmtree(directory.path)
    assert not lock.is_in_place
    directory.prepare()
    directory.master_lock.touch()
    assert not lock.is_in_place
    lock.take_again()
    assert lock.is_in_place
    lock.release()
