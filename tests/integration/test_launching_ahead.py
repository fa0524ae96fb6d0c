"""A zygote that is executed before anybody knows whose it is."""

from __future__ import annotations

import contextlib
import os
import signal

from consumerd.master.host.launcher import Executed, Launcher
from consumerd.wire.inherited import EXECUTION_MODULE, ZYGOTE_MODULE


def test_the_first_who_asks_is_given_what_was_executed_ahead_and_the_next_another() -> None:
    with contextlib.closing(Launcher()) as launcher:
        launcher.execute_ahead(ZYGOTE_MODULE)
        first, second = launcher.execute(ZYGOTE_MODULE), launcher.execute(ZYGOTE_MODULE)
        assert first.pid != second.pid
        assert _end(launcher, first) == _end(launcher, second) == signal.SIGKILL


def test_one_that_has_ended_and_is_reaped_is_not_handed_out() -> None:
    with contextlib.closing(Launcher()) as launcher:
        ahead = launcher.execute_ahead(ZYGOTE_MODULE)
        assert ahead is not None
        launcher.kill(ahead, None)
        assert launcher.reap(ahead, with_group=False) == signal.SIGKILL
        afresh = launcher.execute(ZYGOTE_MODULE)
        assert launcher.is_child(afresh.pid)
        assert _end(launcher, afresh) == signal.SIGKILL


def test_what_nobody_asked_for_is_ended_at_the_close_and_reaped() -> None:
    launcher = Launcher()
    launcher.execute_ahead(ZYGOTE_MODULE)
    other = launcher.execute(EXECUTION_MODULE)
    launcher.close()
    assert launcher.ended() in (None, other.pid)
    assert launcher.is_child(other.pid)
    assert _end(launcher, other) == signal.SIGKILL


def _end(launcher: Launcher, executed: Executed) -> int:
    executed.channel.close()
    os.close(executed.stderr_fd)
    launcher.kill(executed.pid, None)
    status = launcher.reap(executed.pid, with_group=False)
    assert status is not None
    return os.WTERMSIG(status)
