"""A worker that is executed instead of forked: where a fork would lose or share what the import left behind.

Runs in workers, as `python -m consumerd.worker.zygote.executed FD SOURCES_FD`; `execute_worker` runs in their zygote.
The tested equal of a fork: the same code, messages and exit codes, reaped by the same zygote.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from consumerd.config.shape import ConsumerSettings
from consumerd.model.exits import WorkerExit
from consumerd.standard_streams import make_streams_lenient, say
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS, die_with_parent, first_message, inherited_channel
from consumerd.wire.messages import Assignment, Fork
from consumerd.worker.execution import copied
from consumerd.worker.process import become_worker
from consumerd.worker.template import Descriptors, Failure, Template, load


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


# The modules of its consumer, as its zygote has imported them: what a deploy has put in their place meanwhile belongs
# to another edition of the pool.

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def sources_as_imported(directory: Path, package: str) -> str:
    """Of every imported module of this top-level package, and of this directory but for what is installed in it; as
    JSON for `import_only_from`.
    """
    return json.dumps(dict(_sources(directory.absolute(), package)))


def import_only_from(kept: str) -> None:
    """Import these modules from their kept sources from now on, whatever lies on the disk."""
    sys.meta_path.insert(0, _KeptSources(json.loads(kept)))


def _sources(directory: Path, package: str) -> Iterator[tuple[str, tuple[str, bool, str]]]:
    for name, module in tuple(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.name != name or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            continue
        path = Path(spec.origin)
        is_own = directory in path.parents and not _INSTALLED.intersection(path.parts)
        if is_own or name.partition(".")[0] == package:
            source = importlib.util.decode_source(spec.loader.get_data(spec.origin))
            yield name, (spec.origin, spec.submodule_search_locations is not None, source)


class _KeptLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self._source, self.path, "exec", dont_inherit=True)
        return code


class _KeptSources(MetaPathFinder):
    def __init__(self, kept: Mapping[str, tuple[str, bool, str]]) -> None:
        self._kept = kept

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._kept:
            return None
        origin, is_package, source = self._kept[fullname]
        where = [str(Path(origin).parent)] if is_package else None
        loader = _KeptLoader(fullname, origin, source)
        return importlib.util.spec_from_file_location(fullname, origin, loader=loader, submodule_search_locations=where)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
