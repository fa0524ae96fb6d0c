"""The master's own process, made ready for its first child. Runs in the master. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import os
import resource

from consumerd.master.host.service_socket import ServiceSocket
from consumerd.model.slots import MOST_WORKERS

FDS_A_WORKER, FDS_BESIDE = 4, 256
_PR_SET_CHILD_SUBREAPER = 36


def make_ready() -> ServiceSocket:
    """Once, before anything is executed; whom the service manager wants told. OSError where the kernel refuses."""
    _become_subreaper()
    _raise_open_files()
    return ServiceSocket.take_from(os.environ, os.getpid())


def _become_subreaper() -> None:
    """Workers whose zygote dies become our children: we reap them, nobody else does."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not let the master adopt its workers")


def _raise_open_files() -> None:
    """Make room for the descriptors of as many workers as a pool may be scaled to, as far as the hard limit lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MOST_WORKERS * FDS_A_WORKER + FDS_BESIDE
    if soft != resource.RLIM_INFINITY and soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
