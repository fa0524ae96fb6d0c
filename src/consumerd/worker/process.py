"""A worker's process, from its fork to its exit code. Runs in workers.

The order matters: signal handlers first, for which a TERM has waited; then the slot's lock, so that no two generations
run; then the threads, the user's instance, its source.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import resource
import signal
import socket
import traceback
from functools import partial
from pathlib import Path
from typing import NoReturn

import setproctitle

from consumerd import events
from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.config.amounts import size
from consumerd.config.shape import ConsumerSettings
from consumerd.errors import ConsumerdError, SystemRefusedError, UsageError
from consumerd.events.folding import Folding
from consumerd.model.connection_errors import connection_error
from consumerd.model.contract import is_overridden
from consumerd.model.exits import WorkerExit
from consumerd.model.failure import refusal
from consumerd.model.shards import Shard
from consumerd.standard_streams import flush_streams, say
from consumerd.wire.board import STACKS_AT_BYTE, STACKS_SIGNAL, Board, read_words
from consumerd.wire.channel import Channel
from consumerd.wire.figures.own_figures import FiguresWriter
from consumerd.wire.inherited import IGNORED_SIGNALS
from consumerd.wire.messages import Fork
from consumerd.worker.attempts.forked_child import leave_if_child, watch_forks
from consumerd.worker.attempts.interruption import BREAK_SIGNAL, hear_swallowed
from consumerd.worker.master_link import MasterLink
from consumerd.worker.own_figures import begin_figures
from consumerd.worker.process_end import run_exit_handlers
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Redaction, WorkerContext, emitter
from consumerd.worker.tasks.interrupts import Interrupt, Interrupts, StopDeadline
from consumerd.worker.template import Descriptors, Template
from consumerd.worker.timer import Timer
from consumerd.worker.traces.beginning import begin_traces

DEFAULT_PROCESS_NAME = "consumerd"
LOCK_LOOK_S = 0.05
CRASHED = 1

ROOM_BYTES = 32 * 2**20
"""What the threads of a worker and its clients reserve before the first task."""

RELIEF_BYTES = 64 * 2**20
"""So much more a worker gets that has reached its limit: it has to park what failed, and to settle what is finished."""


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
        flush_streams()
        os._exit(exit_code)  # without the interpreter's own end, which would run the zygote's


def run_worker(template: Template, fork: Fork, fds: Descriptors) -> int:
    """Be the worker of a slot until it ends; the exit code (`model.exits`)."""
    link = MasterLink(Channel(socket.socket(fileno=fds.channel)))
    link.suspects.put(fork.suspects)
    board = Board(fds.board)
    context = worker_context(template, fork, board, link, table_fd=fds.table)
    template.write_lines(context, fork.slot)
    listen_to_signals(context)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    write_stacks_when_asked(fds.board)
    watch_forks(context.interrupts)
    begin_figures(FiguresWriter(board.words))
    context.board.starting(fork.generation)
    Timer(context, link).start()
    if not _take_slot(fds.lock, context.deadline):
        return context.deadline.drained
    exit_code = _consume(context, template, fork, link)
    if left := context.task_threads.join(context.deadline.start()):
        context.emit(events.threads_cut(threads=", ".join(left)))
    run_exit_handlers()  # the timer ends the process behind the deadline
    return exit_code


def worker_context(
    template: Template, fork: Fork, board: Board, link: MasterLink, *, table_fd: int | None = None
) -> WorkerContext:
    """What the parts of the worker share that this message asks for."""
    member = f"{template.assignment.member_prefix}.{fork.slot}"
    redact = Redaction(template.redact)
    log = Folding(template.log.bound_to({"worker_id": fork.slot}))
    return WorkerContext(
        name=str(template.entry.full_name),
        shard=_shard(template, fork),
        member=member,
        lease_owner=f"{member}#{fork.generation}",
        common=template.loaded.common,
        options=template.loaded.options,
        limits=template.entry.limits,
        interrupts=Interrupts(is_paused=fork.is_paused),
        words=board.words,
        deadline=StopDeadline(template.stop_timeout_s),
        emit=emitter(redact, log, link.listen),
        redact=redact,
        is_wary=fork.is_wary,
        table_place=None if table_fd is None else (table_fd, fork.holder),
    )


def _shard(template: Template, fork: Fork) -> Shard:
    """The worker's part of the keys; none, until its source owns some, where ranges move."""
    if template.loaded.kind.traits.moves_ranges:
        return Shard(ranges=(), number=(fork.slot, fork.workers), moves=True)
    return Shard.numbered(fork.slot, fork.workers)


def listen_to_signals(context: WorkerContext) -> None:
    """TERM and INT ask for a stop, by the stop timeout; a second one changes nothing. HUP is the master's; one of ours
    interrupts an attempt.
    """

    def stop(number: int, frame: object) -> None:
        del number, frame
        context.interrupts.set(Interrupt.STOP)
        context.deadline.start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(BREAK_SIGNAL, context.interruptions.on_signal)
    hear_swallowed(context.interruptions)


def write_stacks_when_asked(board_fd: int) -> None:
    """From now on, write the stacks of all threads on the board when the master asks for them by a signal.

    The C handler of `faulthandler` runs whatever the interpreter does: also while a handler blocks in C code, with or
    without the lock of the interpreter. It writes into memory, where nobody needs to read for it to end. `board_fd` has
    to stay open as long as the process lives.
    """
    os.lseek(board_fd, STACKS_AT_BYTE, os.SEEK_SET)
    faulthandler.register(STACKS_SIGNAL, file=board_fd, all_threads=True, chain=False)


def _take_slot(lock_fd: int, deadline: StopDeadline) -> bool:
    """Lock the slot, waiting for an earlier generation to leave it; false when a stop was asked for meanwhile."""
    while not deadline.has_begun():
        try:
            fcntl.lockf(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            SYSTEM_CLOCK.sleep(LOCK_LOOK_S)
        else:
            return True
    return False


def _consume(context: WorkerContext, template: Template, fork: Fork, link: MasterLink) -> int:
    """Make the user's instance and let it consume; how that ended, as an exit code."""
    try:
        limit_memory(context.common.memory_limit)
        end = _run_to_end(context, template, fork, link)
    except ConsumerdError as error:
        context.emit(events.consume_failed(error=str(error)))
        return error.exit_code
    except BaseException as error:  # noqa: BLE001 - the top of a process: hooks and sources are the user's
        leave_if_child(error)
        context.report(events.consume_failed, error)
        return WorkerExit.SOURCE_REFUSED if connection_error(error) else CRASHED
    context.emit(events.worker_drained(end=end.name.lower(), handled=read_words(context.words).handled))
    return end


def _run_to_end(context: WorkerContext, template: Template, fork: Fork, link: MasterLink) -> WorkerExit:
    loaded = template.loaded
    consumer = loaded.consumer_class(fork.slot, **loaded.configs | {"workers": fork.workers})
    traces = partial(begin_traces, context, loaded.kind.name)
    runtime = Runtime(context, consumer, loaded.kind.make(), template.store, link, traces)
    template.write_lines(context, fork.slot, runtime.task_of_line)
    if is_overridden(loaded.consumer_class, "get_process_name"):
        name = "get_process_name"
        runtime.hooks.call(name, lambda: setproctitle.setproctitle(consumer.get_process_name()), None)
    consumer.consume()
    template.store.close(context.deadline.at_s or monotonic())
    return runtime.exit


def limit_memory(limit_bytes: int | None) -> None:
    """Have the kernel keep this process's memory below a limit, beyond which an allocation fails; None: no limit.

    `RLIMIT_DATA` counts what a process may write to and nobody else sees, also what it has only reserved (the stacks of
    its threads), and what it shares with its zygote. A process that the handler starts has the limit too.
    UsageError where it leaves no room for a worker.
    """
    if limit_bytes is None:
        return
    least_bytes = _data_bytes() + ROOM_BYTES
    if limit_bytes < least_bytes:
        raise UsageError(
            f"memory_limit is {size(limit_bytes)}, and a worker of this consumer needs {size(least_bytes)} "
            "before its first task: raise it"
        )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    last = limit_bytes + RELIEF_BYTES
    last = last if hard == resource.RLIM_INFINITY else min(last, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (min(limit_bytes, last), last))


def _data_bytes() -> int:
    """How much of what the limit counts this process has now."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
