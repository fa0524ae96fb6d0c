"""How a process that was just forked or executed becomes a worker. Runs in zygotes and workers."""

from __future__ import annotations

import os
import traceback
from typing import NoReturn

import setproctitle

from consumerd.config.shape import ConsumerSettings
from consumerd.errors import SystemRefusedError
from consumerd.model.exits import WorkerExit
from consumerd.model.refusal import refusal
from consumerd.standard_streams import flush_streams, say
from consumerd.wire.messages import Fork
from consumerd.worker.process import run_worker
from consumerd.worker.template import Descriptors, Template

DEFAULT_PROCESS_NAME = "consumerd"


def title(entry: ConsumerSettings, role: str) -> str:
    """Of a process: `gop_consumer: worker 3 gop/login`."""
    return f"{entry.common.process_name or DEFAULT_PROCESS_NAME}: {role} {entry.full_name}"


def become_worker(template: Template, fork: Fork, fds: Descriptors) -> NoReturn:
    """Be the worker of a slot until it ends, and never return: what called this is the zygote's.

    Signals are blocked when this is called, and wait until the worker's own handlers stand.
    """
    exit_code = int(WorkerExit.BUG)
    try:
        os.setpgid(0, 0)
        os.dup2(fds.stderr, 2)
        os.close(fds.stderr)
        setproctitle.setproctitle(title(template.entry, f"worker {fork.slot}"))
        exit_code = run_worker(template, fork, fds)
    except (SystemRefusedError, OSError) as error:  # before user code runs: `run_worker` tells of what that raises
        told = refusal(error) if isinstance(error, OSError) else str(error)
        say(f"consumerd: {told}\n")
        exit_code = WorkerExit.SYSTEM_REFUSED
    except BaseException:  # noqa: BLE001 - the top of a process
        say(traceback.format_exc())
    finally:
        _leave(exit_code)


def _leave(exit_code: int) -> NoReturn:
    """Without the interpreter's own end, which would run the zygote's."""
    flush_streams()
    os._exit(exit_code)
