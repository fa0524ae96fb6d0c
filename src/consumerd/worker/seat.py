"""A worker's seat: everything that it is given at its fork. Runs in zygotes, workers and the foreground."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.wire.board import Board


@dataclass(frozen=True)
class Seat:
    """One slot, as its worker sees it.

    consumer: the entry in the configuration, `configs` not resolved; settings: the document's `consumerd` table.
    member: `<id>.<group>.<name>.<slot>`; None in the foreground, which joins as a guest.
    workers: how many its pool has. is_paused: it is to fetch nothing before it is told to.
    suspects: tasks that were running when a worker of the pool died, as the `Fork` told them.
    channel: to the master, closed by its death; None in the foreground.
    board_fd: the board's memory as a file, where stacks are written; None in the foreground.
    lock_fd: the slot's lock file, opened by the master, not locked yet; None in the foreground.
    """

    consumer: ConsumerSettings
    settings: Settings
    slot: int
    generation: int
    member: str | None
    board: Board
    workers: int = 1
    is_paused: bool = False
    suspects: tuple[tuple[str, int, str], ...] = ()
    channel: socket.socket | None = None
    lock_fd: int | None = None
    board_fd: int | None = None
