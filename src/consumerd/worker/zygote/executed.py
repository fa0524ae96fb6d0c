"""A worker that is executed instead of forked: for consumers whose import leaves a thread behind.

Runs in workers, as `python -m consumerd.worker.zygote.executed FD`; `execute_worker` runs in their zygote. The tested
equal of a fork: the same seat, the same exit codes, reaped by the same zygote.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from consumerd.errors import WireError
from consumerd.model.exits import WorkerExit
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS, die_with_parent, inherited_channel
from consumerd.wire.messages import Fork, Seated
from consumerd.worker.zygote.loading import Failure, load
from consumerd.worker.zygote.seating import Ends, Work, become_worker


def execute_worker(seated: Seated, fork: Fork, ends: Ends) -> int:
    """Execute a worker for a slot; its pid. The caller reaps it, and closes its own copies of `ends`."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "consumerd.worker.zygote.executed", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stderr=ends.stderr_fd,
            pass_fds=(theirs.fileno(),),
            process_group=0,
        )
    process.returncode = 0  # else subprocess would wait for it one day, and take its status from the zygote
    channel = Channel(ours)
    channel.send(seated)
    channel.send(fork, (ends.channel_fd, ends.board_fd, ends.lock_fd, ends.stderr_fd))
    channel.close()
    return process.pid


def main(arguments: Sequence[str]) -> int:
    """The top of the process, until it is a worker. An import that hangs must not outlive the zygote."""
    die_with_parent(True)
    signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    channel = inherited_channel(arguments)
    work, fork, ends = _receive(channel)
    channel.close()
    prepared = load(work.consumer, work.settings, Path(work.seated.state_dir))
    if not isinstance(prepared, Failure):
        die_with_parent(False)
        become_worker(work, prepared, fork, ends)
    sys.stderr.write(f"consumerd: {prepared.reason}\n{prepared.traceback}")
    return WorkerExit.LOAD_FAILED


def _receive(channel: Channel) -> tuple[Work, Fork, Ends]:
    seated, forked = channel.receive(), channel.receive()
    if seated is None or forked is None:
        raise SystemExit(WorkerExit.MASTER_GONE)
    (seated_message, _), (fork, fds) = seated, forked
    if not isinstance(seated_message, Seated) or not isinstance(fork, Fork):
        raise WireError(f"a worker was sent {type(seated_message).__name__} and {type(fork).__name__} first")
    return Work.of(seated_message), fork, Ends(*fds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
