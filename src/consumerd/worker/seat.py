"""A worker's seat: what it is given at its fork, and what was made ready before. Runs in zygotes and workers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.events.log import LogListener
from consumerd.parking.thread import StoreThread
from consumerd.wire.board import Board
from consumerd.worker.code.loader import LoadedConsumer


@dataclass(frozen=True)
class Seat:
    """One slot, as its worker sees it.

    consumer: the entry in the configuration, `configs` not resolved; settings: the document's `consumerd` table.
    member: `<id>.<group>.<name>.<slot>`.
    workers: how many its pool has. is_paused: it is to fetch nothing before it is told to.
    suspects: tasks that were running when a worker of the pool died, as the `Fork` told them; is_wary: as it told that.
    channel: to the master, closed by its death. lock_fd: the slot's lock file, opened by the master, not locked yet.
    board_fd: the board's memory as a file, where stacks are written.
    """

    consumer: ConsumerSettings
    settings: Settings
    slot: int
    generation: int
    member: str
    board: Board
    workers: int
    is_paused: bool
    suspects: tuple[tuple[str, int, str], ...]
    is_wary: bool
    channel: socket.socket
    lock_fd: int
    board_fd: int


@dataclass(frozen=True)
class Prepared:
    """A consumer, ready to be forked into workers.

    redact: takes every resolved secret, the parking store's too, out of a text. store: nothing of it runs or is open
    before a worker calls it. log: the workers', to which each binds its number.
    """

    loaded: LoadedConsumer
    redact: Callable[[str], str]
    store: StoreThread
    log: LogListener
