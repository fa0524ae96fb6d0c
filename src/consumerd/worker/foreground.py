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
from functools import partial
from typing import Any

from consumerd import events
from consumerd.clock import monotonic
from consumerd.config.shape import LogSettings, Settings
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.log import log_to_stdout
from consumerd.model.identity import ConsumerName
from consumerd.parking.opening import open_store_thread
from consumerd.standard_streams import open_standard_descriptors
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import Message, Ready
from consumerd.worker.attempts.forked_child import watch_forks
from consumerd.worker.attempts.interruption import BREAK_SIGNAL
from consumerd.worker.code.loader import LoadedConsumer, prepare_class
from consumerd.worker.process import listen_to_signals
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Link, Redaction, WorkerContext, emitter
from consumerd.worker.tasks.interrupts import StopDeadline
from consumerd.worker.timer import Timer
from consumerd.worker.traces.beginning import begin_traces

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
    context = _context(loaded)
    store = open_store_thread(None, directory.path)
    timer = Timer(context)
    watch_forks(context.interrupts)
    with _own_signals(context):
        timer.start()
        try:
            link, traces = _ReadyLink(context, directory), partial(begin_traces, context, loaded.kind.name)
            Runtime(context, consumer, loaded.kind.make(), store, link, traces)
            consumer.consume()
            store.close(context.deadline.at_s or monotonic())
        finally:
            consumer._runtime = None  # noqa: SLF001 - the base class keeps it for us
            timer.close()


def _context(loaded: LoadedConsumer) -> WorkerContext:
    name = str(ConsumerName(GROUP, loaded.consumer_class.__name__))
    redact = Redaction(loaded.redactor.redact)
    log = LogSettings()
    return WorkerContext(
        name=name,
        lease_owner=f"{GROUP}.{uuid.uuid4().hex}#0",
        common=loaded.common,
        options=loaded.options,
        deadline=StopDeadline(loaded.common.stop_timeout or Settings().stop_timeout),
        emit=emitter(redact, log_to_stdout(log.format, log.level, bound={"consumer": name, "worker_id": 0})),
        redact=redact,
    )


class _ReadyLink(Link):
    """Where there is no master, the log says that the worker is ready."""

    def __init__(self, context: WorkerContext, directory: StateDirectory) -> None:
        super().__init__()
        self._emit = context.emit
        self._state_dir = str(directory.path)

    def tell(self, message: Message) -> None:
        if isinstance(message, Ready):
            self._emit(events.worker_ready(state_dir=self._state_dir))


@contextmanager
def _own_signals(context: WorkerContext) -> Iterator[None]:
    """Our handlers of signals while it consumes, the caller's afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, BREAK_SIGNAL)
    try:
        before = {number: signal.getsignal(number) for number in numbers}
        listen_to_signals(context)
    except ValueError as error:
        raise UsageError("consume() must be called in the main thread: it handles signals") from error
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
