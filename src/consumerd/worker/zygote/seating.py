"""How a process that was just forked or executed becomes a worker. Runs in zygotes and workers."""

from __future__ import annotations

import os
import socket
import traceback
from dataclasses import dataclass
from typing import NoReturn

import setproctitle

from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.errors import SystemRefusedError
from consumerd.model.exits import WorkerExit
from consumerd.model.refusal import refusal
from consumerd.standard_streams import flush_streams, say
from consumerd.wire.board import Board
from consumerd.wire.messages import Fork, Seated
from consumerd.worker.process import run_worker
from consumerd.worker.seat import Prepared, Seat

DEFAULT_PROCESS_NAME = "consumerd"


@dataclass(frozen=True)
class Work:
    """What a zygote forks workers for."""

    seated: Seated
    consumer: ConsumerSettings
    settings: Settings

    @classmethod
    def of(cls, seated: Seated) -> Work:
        return cls(
            seated=seated,
            consumer=ConsumerSettings.model_validate_json(seated.consumer),
            settings=Settings.model_validate_json(seated.settings),
        )

    @property
    def stop_timeout_s(self) -> float:
        return self.consumer.common.stop_timeout or self.settings.stop_timeout

    def title(self, role: str) -> str:
        """Of a process: `gop_consumer: worker 3 gop/login`."""
        name = self.consumer.common.process_name or DEFAULT_PROCESS_NAME
        return f"{name}: {role} {self.consumer.full_name}"


@dataclass(frozen=True)
class Ends:
    """The descriptors that travel with a `Fork`, in its order; the worker's own."""

    channel_fd: int
    board_fd: int
    lock_fd: int
    stderr_fd: int

    def close(self) -> None:
        for fd in (self.channel_fd, self.board_fd, self.lock_fd, self.stderr_fd):
            os.close(fd)


def become_worker(work: Work, prepared: Prepared, fork: Fork, ends: Ends) -> NoReturn:
    """Be the worker of a slot until it ends, and never return: what called this is the zygote's.

    Signals are blocked when this is called, and wait until the worker's own handlers stand.
    """
    exit_code = int(WorkerExit.BUG)
    try:
        os.setpgid(0, 0)
        os.dup2(ends.stderr_fd, 2)
        os.close(ends.stderr_fd)
        setproctitle.setproctitle(work.title(f"worker {fork.slot}"))
        exit_code = run_worker(_seat(work, fork, ends), prepared)
    except (SystemRefusedError, OSError) as error:  # before user code runs: `run_worker` tells of what that raises
        told = refusal(error) if isinstance(error, OSError) else str(error)
        say(f"consumerd: {told}\n")
        exit_code = WorkerExit.SYSTEM_REFUSED
    except BaseException:  # noqa: BLE001 - the top of a process
        say(traceback.format_exc())
    finally:
        _leave(exit_code)


def _seat(work: Work, fork: Fork, ends: Ends) -> Seat:
    return Seat(
        consumer=work.consumer,
        settings=work.settings,
        slot=fork.slot,
        generation=fork.generation,
        member=f"{work.seated.member_prefix}.{fork.slot}",
        board=Board(ends.board_fd),
        workers=fork.workers,
        is_paused=fork.is_paused,
        suspects=fork.suspects,
        is_wary=fork.is_wary,
        channel=socket.socket(fileno=ends.channel_fd),
        lock_fd=ends.lock_fd,
        board_fd=ends.board_fd,
    )


def _leave(exit_code: int) -> NoReturn:
    """Without the interpreter's own end, which would run the zygote's."""
    flush_streams()
    os._exit(exit_code)
