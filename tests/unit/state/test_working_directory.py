"""Relative paths follow the name of the current directory, not what lay there at first."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumerd.config.documents import read_document
from consumerd.errors import UsageError
from consumerd.state.state_dir import StateDirectory
from consumerd.state.working_directory import enter, working_directory


def test_the_name_is_the_shells_where_that_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "current").symlink_to("release")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    assert working_directory() == tmp_path / "current"
    assert read_document("jobs.toml").directory == str(tmp_path / "current")
    assert StateDirectory.locate("state", {}, 1000).path == tmp_path / "current" / "state"
    for untrue in (str(tmp_path), str(tmp_path / "gone"), "release", ""):
        monkeypatch.setenv("PWD", untrue)
        assert working_directory() == tmp_path / "release"


def test_a_directory_that_was_removed_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    with pytest.raises(UsageError, match="current directory was removed or replaced: change to one"):
        working_directory()
    with pytest.raises(UsageError, match="current directory"):
        StateDirectory.locate("state", {}, 1000)
    assert StateDirectory.locate("/state", {}, 1000).path == Path("/state")
    with pytest.raises(UsageError, match=f"{gone}, in which the master was started, cannot be entered"):
        enter(gone)
    gone.mkdir()
    enter(gone)
    assert gone.samefile(Path.cwd())
