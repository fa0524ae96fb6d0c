"""Ending a holder only while it is the one that is meant; who holds a lock is tested with real processes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from consumerd.state.record_lock import holder_of, kill_if

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
