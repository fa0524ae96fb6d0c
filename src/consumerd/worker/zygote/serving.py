"""A zygote's life, from the first message of the master to its end. Runs in zygotes.

It imports a consumer's code once, looks at what that has left behind, and then only forks.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import threading
import traceback
from dataclasses import asdict
from functools import partial
from typing import NoReturn

import setproctitle

from consumerd import clock
from consumerd.model.contract import live_keys
from consumerd.model.exits import WorkerExit
from consumerd.standard_streams import flush_streams, say
from consumerd.version import __version__
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS, die_with_parent, first_message
from consumerd.wire.messages import Assignment, Hello, Loaded, LoadFailed
from consumerd.worker.code.leftovers import Inventory, children, children_by_pipe
from consumerd.worker.execution import assignment_from
from consumerd.worker.process import title
from consumerd.worker.template import Failure, entry_of, load
from consumerd.worker.zygote.executed import Origin, execute_worker
from consumerd.worker.zygote.forking import SignalHandler, Zygote
from consumerd.worker.zygote.heap import settle_heap
from consumerd.worker.zygote.rehearsal import rehearse

EXIT_HANDLERS_S = 2.0
"""How long exit handlers that the consumer's module has registered may run."""

PROGRAMS_S = 0.5
"""How long programs that the consumer's module has started may take to end by themselves."""

LOOK_S = 0.01


def serve(channel: Channel, assignment_fd: int | None = None) -> int:
    """Be a zygote; the exit code. assignment_fd: what `worker.execution` was sent and has left for us.

    ConnectionResetError where the master is gone before it has said what to load. Until its code is loaded it dies with
    its parent.
    """
    gc.enable()
    channel.send(Hello(__version__))
    assignment = first_message(channel, Assignment)[0] if assignment_fd is None else assignment_from(assignment_fd)
    setproctitle.setproctitle(title(entry_of(assignment), "zygote"))
    origin, before = Origin.of_this_process(), Inventory.now()
    template = load(assignment)
    if isinstance(template, Failure):
        channel.send(LoadFailed(template.reason, template.traceback))
        return WorkerExit.LOAD_FAILED
    left = before.left_since()
    loaded = template.loaded
    start = loaded.common.start
    is_forking = left.is_forkable if start == "auto" else start == "fork"
    remarks = (*loaded.remarks, *left.remarks(is_forking=is_forking))
    on_child = _take_signals_back()
    if is_forking:
        origin.forget()
        settle_heap()
        with contextlib.suppress(OSError):  # too few descriptors, perhaps: its workers are heavier then
            rehearse(template)
        gc.freeze()
    execute = None if is_forking else partial(execute_worker, origin.with_sources(template.entry))
    live = tuple(sorted(live_keys(loaded.consumer_class)))
    channel.send(Loaded(loaded.kind.name, asdict(loaded.kind.traits), remarks, live))
    die_with_parent(False)
    try:
        Zygote(channel, template, execute, on_child).run()
    except BaseException:  # noqa: BLE001 - its workers run on, as the master has it: `leave` would end them as programs
        say(traceback.format_exc())
        os._exit(WorkerExit.BUG)
    return WorkerExit.MASTER_GONE if channel.is_at_end else WorkerExit.DRAINED


def _take_signals_back() -> SignalHandler:
    """What the import has made of the signals that a zygote lives by is undone: it must learn how its workers end, and
    the master alone says when it leaves. The handler of SIGCHLD that was there.
    """
    signal.set_wakeup_fd(-1)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for ignored in IGNORED_SIGNALS:
        signal.signal(ignored, signal.SIG_IGN)
    return signal.signal(signal.SIGCHLD, signal.SIG_DFL) or signal.SIG_DFL  # None: not Python's to put back


def leave(exit_code: int) -> NoReturn:
    """End a zygote. Exit handlers run, for a moment; threads that the import has left behind are not waited for."""
    with contextlib.suppress(RuntimeError):  # no thread can be started: the handlers may take as long as they like
        limit = threading.Timer(EXIT_HANDLERS_S, _end, [exit_code])
        limit.daemon = True
        limit.start()
    atexit._run_exitfuncs()  # noqa: SLF001 - sys.exit would do so, but wait for threads before
    flush_streams()
    _await_programs()
    _end(exit_code)


def _await_programs() -> None:
    """End the programs that the import has started. Those that hold the other end of a pipe have a moment in which to
    end by themselves when it is closed: what tracks shared memory removes it then.
    """
    for pid in children() - children_by_pipe():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or is another user's
            os.kill(int(pid), signal.SIGKILL)
    deadline = clock.monotonic() + PROGRAMS_S
    with contextlib.suppress(ChildProcessError):  # there is none, or none any more
        os.waitpid(-1, os.WNOHANG)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        while os.waitpid(-1, os.WNOHANG)[0] or clock.monotonic() < deadline:
            clock.SYSTEM_CLOCK.sleep(LOOK_S)


def _end(exit_code: int) -> NoReturn:
    """The master kills what is left of the process group; where it is gone, that is done here."""
    if exit_code == WorkerExit.MASTER_GONE and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(exit_code)
