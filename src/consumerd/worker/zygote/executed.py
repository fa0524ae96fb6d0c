"""A worker that is executed instead of forked: where a fork would lose or share what the import left behind.

Runs in workers, as `python -m consumerd.worker.zygote.executed FD SOURCES_FD`; `execute_worker` runs in their zygote.
The tested equal of a fork: the same code, messages and exit codes, reaped by the same zygote.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from consumerd.config.shape import ConsumerSettings
from consumerd.model.exits import WorkerExit
from consumerd.standard_streams import make_streams_lenient, say
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS, die_with_parent, first_message, inherited_channel
from consumerd.wire.messages import Assignment, Fork
from consumerd.worker.execution import copied
from consumerd.worker.process import become_worker
from consumerd.worker.template import Descriptors, Failure, Template, load
from consumerd.worker.zygote.sources import import_only_from, sources_as_imported


@dataclass(frozen=True)
class Origin:
    """What a zygote began with, and its workers begin with too, whatever the import has changed.

    directory_fd: the directory it was in; sources_fd: what `sources_as_imported` has told, where workers are executed.
    """

    directory_fd: int
    environment: Mapping[str, str]
    sources_fd: int = -1

    @classmethod
    def of_this_process(cls) -> Origin:
        return cls(os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), dict(os.environ))

    def with_sources(self, consumer: ConsumerSettings) -> Origin:
        """Once the consumer is imported, and for as long as the zygote lives."""
        package = consumer.target.partition(":")[0].partition(".")[0]
        sources = sources_as_imported(consumer.directory, package)
        return replace(self, sources_fd=copied(sources, "consumerd-sources"))

    def forget(self) -> None:
        os.close(self.directory_fd)


def execute_worker(origin: Origin, template: Template, fork: Fork, fds: Descriptors) -> int:
    """Execute a worker for a slot; its pid. The caller reaps it, and closes its own copies of `fds`.

    OSError where the system refuses that.
    """
    ours, theirs = socket.socketpair()
    with contextlib.closing(Channel(ours)) as channel:
        with theirs:
            process = _execute(origin, theirs.fileno(), fds.stderr)
        try:
            channel.send(template.assignment)
            channel.send(fork, astuple(fds))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended already: who reaps it tells how
        except OSError:
            process.kill()
            process.wait()
            raise
    process.returncode = 0  # else subprocess would wait for it one day, and take its status from the zygote
    return process.pid


def _execute(origin: Origin, channel_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
    fds = (channel_fd, origin.sources_fd)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "consumerd.worker.zygote.executed", *map(str, fds)],
        stdin=subprocess.DEVNULL,
        stderr=stderr_fd,
        pass_fds=fds,
        process_group=0,
        cwd=f"/proc/self/fd/{origin.directory_fd}",
        env=origin.environment,
    )


def main(arguments: Sequence[str]) -> int:
    """The top of the process, until it is a worker. An import that hangs must not outlive the zygote."""
    die_with_parent(True)
    make_streams_lenient()
    signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    channel = inherited_channel(arguments[:1])
    sources_fd = int(arguments[1])
    import_only_from(Path(f"/proc/self/fd/{sources_fd}").read_text(encoding="utf-8"))  # from its begin, as all do
    os.close(sources_fd)
    try:
        (assignment, _), (fork, fds) = first_message(channel, Assignment), first_message(channel, Fork)
    except ConnectionResetError:
        return WorkerExit.MASTER_GONE
    channel.close()
    template = load(assignment)
    if not isinstance(template, Failure):
        die_with_parent(False)
        become_worker(template, fork, Descriptors(*fds))
    say(f"consumerd: {template.reason}\n{template.traceback}")
    return WorkerExit.LOAD_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
