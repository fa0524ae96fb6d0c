"""The master's signals: which it hears."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from consumerd.master.host.signals import hearing


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
@pytest.mark.parametrize(
    ("before", "heard"), [(signal.SIG_DFL, [signal.SIGHUP, signal.SIGINT]), (signal.SIG_IGN, [signal.SIGINT])]
)
def test_a_hangup_that_was_ignored_when_the_master_began_stays_ignored(
    before: signal.Handlers, heard: list[signal.Signals]
) -> None:
    async def hear() -> list[signal.Signals]:
        came, ended = list[signal.Signals](), asyncio.Event()

        def interrupted() -> None:
            came.append(signal.SIGINT)
            ended.set()

        calls = {signal.SIGHUP: lambda: came.append(signal.SIGHUP), signal.SIGINT: interrupted}
        with hearing(calls):
            for number in calls:
                os.kill(os.getpid(), number)
            await ended.wait()
        return came

    signal.signal(signal.SIGHUP, before)
    assert asyncio.run(hear()) == heard
