"""A loaded consumer, from which its workers are made: what a zygote holds, and what each worker inherits or loads anew.

What need not be done in each worker is done here, once: what runs before the fork stays shared by all workers. Runs in
zygotes and workers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

from consumerd.config.execution import secrets_of_environment
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.database.urls import import_own_driver
from consumerd.errors import ConsumerdError
from consumerd.events.line_handler import LineHandler, write_lines
from consumerd.events.log import LogListener, log_to_stderr, log_to_stdout
from consumerd.model.failure import describe, one_line
from consumerd.parking.opening import check_parking, open_store_thread, resolve_parking
from consumerd.parking.thread import StoreThread
from consumerd.standard_streams import open_standard_descriptors
from consumerd.wire.figures.counters import Counter
from consumerd.wire.messages import Assignment
from consumerd.worker.attempts.handler import record_validator
from consumerd.worker.code.keys import DATABASE_KEY
from consumerd.worker.code.loader import LoadedConsumer, load_consumer
from consumerd.worker.own_figures import keep_own_figures
from consumerd.worker.tasks.context import WorkerContext


@dataclass(frozen=True)
class Template:
    """What all workers of a pool have in common. Nothing of it is open, and no thread of it runs.

    assignment: the master's message that asked for it.
    entry: the consumer's entry in the configuration, `configs` not resolved.
    settings: the document's `consumerd` table.
    loaded: the consumer's class, with its keys as they are read in its own environment.
    redact: takes every resolved secret, the parking store's too, out of a text.
    store: opens the parking store when a worker first calls it.
    log: the workers', to which each binds its number.
    """

    assignment: Assignment
    entry: ConsumerSettings
    settings: Settings
    loaded: LoadedConsumer
    redact: Callable[[str], str]
    store: StoreThread
    log: LogListener

    @property
    def stop_timeout_s(self) -> float:
        """How long a worker may take to stop."""
        return self.loaded.common.stop_timeout or self.settings.stop_timeout

    def write_lines(self, context: WorkerContext, slot: int, task: Callable[[], str | None] = lambda: None) -> None:
        """Have this worker's lines of `logging` that no handler of the user's takes written as those of the log.

        How many were left out stands on the board, which outlives a kill.
        """
        bound = {"consumer": str(self.entry.full_name), "worker_id": slot}
        log = log_to_stderr(self.settings.log.format, self.settings.log.level, bound)
        count = partial(Counter.LINES_FOLDED.add, context.words)
        write_lines(LineHandler(log, task=task, count=count, redact=context.redact))


@dataclass(frozen=True)
class Descriptors:
    """The descriptors that travel with a `Fork`, in its order; the worker's own.

    channel: to the master, closed by its death.
    board: the board's memory as a file, where stacks are written.
    lock: the slot's lock file, opened by the master, not locked yet.
    stderr: a pipe to the master.
    table: the shared table.
    """

    channel: int
    board: int
    lock: int
    stderr: int
    table: int

    def close(self) -> None:
        for fd in astuple(self):
            os.close(fd)


@dataclass(frozen=True)
class Failure:
    """reason: one line for each mistake; traceback: what user code raised, where it did."""

    reason: str
    traceback: str


def load(assignment: Assignment) -> Template | Failure:
    """Load the consumer's code and check its options and its parking store's, with the environment of this process."""
    keep_own_figures()
    entry, settings = entry_of(assignment), Settings.model_validate_json(assignment.settings)
    log = log_to_stderr(settings.log.format, settings.log.level, {"consumer": str(entry.full_name)})
    # A thread must not live when workers are forked: what is folded of an import's lines waits for the next one.
    write_lines(LineHandler(log, redact=lambda text: _redactor(entry, settings).redact(text), later=lambda *_: None))
    try:
        return _template(assignment, entry, settings, load_consumer(entry, os.environ))
    except ConsumerdError as error:
        failed, raised = str(error), error.__cause__
    except Exception as error:  # noqa: BLE001 - around user code: a validator, a property of the class
        failed, raised = f"looking at the class failed with {one_line(error)}", error
    redact = _redactor(entry, settings).redact
    return Failure(redact(failed), "" if raised is None else describe(raised, redact).traceback)


def entry_of(assignment: Assignment) -> ConsumerSettings:
    """The consumer's entry, `configs` not resolved."""
    return ConsumerSettings.model_validate_json(assignment.consumer)


def _template(assignment: Assignment, entry: ConsumerSettings, settings: Settings, loaded: LoadedConsumer) -> Template:
    open_standard_descriptors()  # the import may have closed them
    state_dir = Path(assignment.state_dir)
    parking, redactor = resolve_parking(settings.parking, os.environ, entry.directory)
    check_parking(parking, state_dir)
    with contextlib.suppress(Exception):  # what an annotation raises is the worker's to tell: it asks again
        record_validator(loaded.consumer_class)
    with contextlib.suppress(ConsumerdError):  # whoever opens it says so
        import_own_driver(getattr(loaded.options, DATABASE_KEY, None))
    redactor = redactor.joined(loaded.redactor.secrets)
    log = log_to_stdout(settings.log.format, settings.log.level, bound={"consumer": str(entry.full_name)})
    store = open_store_thread(parking, state_dir)
    return Template(assignment, entry, settings, loaded, redactor.redact, store, log)


def _redactor(consumer: ConsumerSettings, settings: Settings) -> Redactor:
    """Of every secret that the consumer's code could have seen."""
    resolver = Resolver(os.environ, consumer.directory)
    values = (dict(consumer.configs), settings.parking)
    secrets = frozenset[str]().union(*(resolver.resolve(value).secrets for value in values))
    return Redactor(secrets | secrets_of_environment(consumer.common.environment, os.environ, consumer.directory))
