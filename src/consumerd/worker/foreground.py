"""`LoginConsumer(0, **configs).consume()`: one consumer, one worker, no master. Runs in the foreground.

It joins as a guest, without a slot or a static membership, and parks in the embedded store of the state directory
that `CONSUMERD_STATE_DIR` names, or of the default one. Tasks are handled and settled for real.
"""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from consumerd import events
from consumerd.clock import monotonic
from consumerd.config.shape import LogSettings, Settings
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.listeners import Listeners
from consumerd.events.log import log_to_stdout
from consumerd.model.identity import ConsumerName
from consumerd.model.shards import Shard
from consumerd.parking.opening import open_store_thread
from consumerd.standard_streams import open_standard_descriptors
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.board import Board
from consumerd.worker.code.loader import LoadedConsumer, prepare_class
from consumerd.worker.process import listen_to_signals, locked_emitter
from consumerd.worker.runtime import Runtime, Surroundings
from consumerd.worker.tasks.forked_child import watch_forks
from consumerd.worker.tasks.interrupts import Interrupts
from consumerd.worker.timer import StopDeadline, Timer

GROUP = "foreground"
STATE_DIR_VARIABLE = "CONSUMERD_STATE_DIR"


def consume_in_foreground(consumer: Any) -> None:  # the user's class, known by its hooks
    """Consume until SIGTERM or SIGINT, or the source ends. Raises what the hooks raise.

    A mistake in the configuration, a source or a state directory that refuses, is said in a line, and is SystemExit.
    """
    try:
        _consume(consumer)
    except ConsumerdError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"consumerd: {line}\n")
        raise SystemExit(error.exit_code) from None


def _consume(consumer: Any) -> None:  # as above
    open_standard_descriptors()
    loaded = prepare_class(type(consumer), dict(consumer.config), os.environ)
    directory = StateDirectory.locate(os.environ.get(STATE_DIR_VARIABLE), os.environ, os.geteuid())
    directory.prepare()
    deadline = StopDeadline(loaded.common.stop_timeout or Settings().stop_timeout)
    interrupts = Interrupts()
    board, board_fd = Board.create()
    os.close(board_fd)
    surroundings = _surroundings(loaded, directory, interrupts, deadline, board)
    timer = Timer(interrupts, board.words, deadline, link=None, settle_interval_s=loaded.common.settle_interval)
    watch_forks(interrupts)
    with _own_signals(interrupts, deadline):
        timer.start()
        try:
            consumer._runtime = Runtime(consumer, surroundings)  # noqa: SLF001 - the base class keeps it for us
            consumer.consume()
            surroundings.store.close(deadline.at_s or monotonic())
        finally:
            consumer._runtime = None  # noqa: SLF001 - as above
            timer.close()


def _surroundings(
    loaded: LoadedConsumer, directory: StateDirectory, interrupts: Interrupts, deadline: StopDeadline, board: Board
) -> Surroundings:
    name = str(ConsumerName(GROUP, loaded.consumer_class.__name__))
    redact = loaded.redactor.redact
    log = LogSettings()
    listener = log_to_stdout(log.format, log.level, bound={"consumer": name, "worker_id": 0})
    emit = locked_emitter(Listeners([listener]), redact)
    return Surroundings(
        name=name,
        common=loaded.common,
        shard=Shard(0, 1),
        member=None,
        lease_owner=f"{GROUP}.{uuid.uuid4().hex}#0",
        options=loaded.options,
        source=loaded.kind.make(),
        store=open_store_thread(None, directory.path),
        interrupts=interrupts,
        words=board.words,
        deadline=deadline,
        emit=emit,
        redact=redact,
        on_ready=lambda: emit(events.worker_ready(state_dir=str(directory.path))),
    )


@contextmanager
def _own_signals(interrupts: Interrupts, deadline: StopDeadline) -> Iterator[None]:
    """Our handlers for TERM and INT while it consumes, the caller's afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    try:
        before = {number: signal.getsignal(number) for number in numbers}
        listen_to_signals(interrupts, deadline)
    except ValueError as error:
        raise UsageError("consume() must be called in the main thread: it handles signals") from error
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
