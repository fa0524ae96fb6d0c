"""What the launcher believes of processes that others name."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from consumerd.master.host.launcher import Launcher
from consumerd.wire.inherited import ZYGOTE_MODULE

NO_ZYGOTE = 2**22 + 1  # above what the kernel gives


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def test_a_worker_is_the_child_that_its_descriptor_says(child: subprocess.Popen[bytes]) -> None:
    launcher, pidfd, own = Launcher(), os.pidfd_open(child.pid), os.pidfd_open(os.getpid())
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, pidfd)
        stack.callback(os.close, own)
        assert launcher.is_worker(child.pid, pidfd, zygote=os.getpid())
        assert not launcher.is_worker(child.pid, own, zygote=os.getpid())
        assert not launcher.is_worker(os.getpid(), own, zygote=NO_ZYGOTE)
        assert not launcher.is_worker(child.pid, 0, zygote=os.getpid())


def test_one_that_is_gone_already_is_believed(child: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(child.pid)
    child.kill()
    assert Launcher().is_worker(child.pid, pidfd, zygote=os.getpid()), "dead, and not reaped"
    child.wait()
    assert Launcher().is_worker(child.pid, pidfd, zygote=NO_ZYGOTE)
    assert not Launcher().is_worker(os.getpid(), pidfd, zygote=os.getppid()), "another's pid, by a dead descriptor"
    os.close(pidfd)


def test_what_the_master_executed_itself_is_nobodys_worker() -> None:
    with contextlib.closing(Launcher()) as launcher:
        pid = launcher.execute_ahead(ZYGOTE_MODULE)
        assert pid is not None
        pidfd = os.pidfd_open(pid)
        assert not launcher.is_worker(pid, pidfd, zygote=NO_ZYGOTE)
        os.close(pidfd)
