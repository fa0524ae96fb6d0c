"""A loaded consumer, from which its workers are made: what the zygote holds, and each worker inherits or loads anew.

Runs in zygotes and workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import astuple, dataclass

from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.events.log import LogListener
from consumerd.parking.thread import StoreThread
from consumerd.wire.messages import Seated
from consumerd.worker.code.loader import LoadedConsumer


@dataclass(frozen=True)
class Template:
    """What all workers of a pool have in common. Nothing of it is open, and no thread of it runs.

    seated: the master's message that asked for it.
    entry: the consumer's entry in the configuration, `configs` not resolved.
    settings: the document's `consumerd` table.
    loaded: the consumer's class, with its keys as they are read in its own environment.
    redact: takes every resolved secret, the parking store's too, out of a text.
    store: opens the parking store when a worker first calls it.
    log: the workers', to which each binds its number.
    """

    seated: Seated
    entry: ConsumerSettings
    settings: Settings
    loaded: LoadedConsumer
    redact: Callable[[str], str]
    store: StoreThread
    log: LogListener

    @property
    def stop_timeout_s(self) -> float:
        """How long a worker may take to stop."""
        return self.loaded.common.stop_timeout or self.settings.stop_timeout


@dataclass(frozen=True)
class Descriptors:
    """The descriptors that travel with a `Fork`, in its order; the worker's own.

    channel: to the master, closed by its death.
    board: the board's memory as a file, where stacks are written.
    lock: the slot's lock file, opened by the master, not locked yet.
    stderr: a pipe to the master.
    """

    channel: int
    board: int
    lock: int
    stderr: int

    def close(self) -> None:
        for fd in astuple(self):
            os.close(fd)
