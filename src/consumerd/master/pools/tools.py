"""What the master supervises its pools with. Runs in the master."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from consumerd.events.facts import Fact
from consumerd.master.host.holders import Holders
from consumerd.master.host.launcher import Launcher
from consumerd.master.host.stderr import StderrPipes
from consumerd.master.pools.mailbox import Mailbox
from consumerd.model.identity import ConsumerName
from consumerd.wire.messages import Loaded


@dataclass(frozen=True)
class Tools:
    """Shared by all pools.

    launcher: starts, ends and reaps processes.
    mailbox: has the channels to them.
    stderr: reads what they write to stderr.
    emit: takes what is new, for the log and for those who follow it.
    tell: takes what a worker has logged itself, for those who follow.
    judge: says in one sentence why a consumer that is loaded must not run, or None.
    jitter: draws a number from [0, 1).
    claim_oom_kill: whether the kernel has killed for want of memory once more than was asked for.
    holders: gives workers their places in the shared table.
    """

    launcher: Launcher
    mailbox: Mailbox
    stderr: StderrPipes
    emit: Callable[[Fact], None]
    tell: Callable[[Fact], None] = lambda fact: None
    judge: Callable[[ConsumerName, Loaded], str | None] = lambda name, loaded: None
    jitter: Callable[[], float] = random.random
    claim_oom_kill: Callable[[], bool] = lambda: False
    holders: Holders = field(default_factory=Holders)
