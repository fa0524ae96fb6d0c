"""One task through the real handler, for `consumerd task`. Runs in a process of its own.

Executed as `python -m consumerd.worker.single FD`; the descriptor holds the consumer's settings and the payload. The
task comes from memory, and what would be parked is shown instead: nothing is opened, settled or kept.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from consumerd import events
from consumerd.clock import SYSTEM_CLOCK, iso
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.errors import ConsumerdError, UndecodableError, UsageError
from consumerd.events.facts import Fact
from consumerd.model.exits import WorkerExit
from consumerd.model.failure import describe
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.parking.memory import MemoryStore
from consumerd.sources.memory import MemoryOptions, MemorySource
from consumerd.standard_streams import STDOUT, make_streams_lenient, say
from consumerd.wire.board import read_words
from consumerd.worker.code.loader import LoadedConsumer, load_consumer
from consumerd.worker.execution import copied, execute_as
from consumerd.worker.process_end import leave
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Link, Redaction, WorkerContext
from consumerd.worker.tasks.interrupts import StopDeadline

DONE, FAILED = 0, 1
EXIT_HANDLERS_S = 5.0


def run_single(settings: ConsumerSettings, payload: bytes | None) -> int:
    """Run the task, say what became of it, and wait for the threads that it has begun; the exit code."""
    loaded = load_consumer(settings, os.environ)
    if payload is None and not loaded.kind.payload_now:
        raise UsageError(f"{settings.full_name} needs a record: name one with --record JSON|@FILE")
    payload = loaded.kind.payload_now if payload is None else payload
    try:
        decode = loaded.kind.decode
        record = loaded.kind.make().decode(payload) if decode is None else decode(loaded.options, payload)
    except UndecodableError as error:
        return _say(f"undecodable: {error}", FAILED)
    context = _context(settings, loaded, record)
    exit_code = _run(context, loaded.consumer_class(0, **loaded.configs))
    if left := context.task_threads.join(context.deadline.start()):
        within_s = context.deadline.stop_timeout_s
        _say(f"what the task has begun is cut off after {within_s:g} s: {', '.join(left)}", exit_code)
    return exit_code


def _run(context: WorkerContext, consumer: Any) -> int:  # the user's class
    store = MemoryStore(SYSTEM_CLOCK)
    runtime = Runtime(context, consumer, MemorySource(), store.as_thread(), Link())
    try:
        loop = runtime.open()
    except BaseException as error:  # noqa: BLE001 - the user's pre_consume, SystemExit included
        failure = describe(error, context.redact)
        return _say(f"{failure.traceback}\n\nnot handled: pre_consume failed: {failure.error}", FAILED)
    context.task_threads.begin()
    while not (read_words(context.words).handled or store.rows or loop.is_stopping):
        loop.turn()
    runtime.shut()
    if loop.is_stopping:
        return _say("not handled: can_stop_consume is true before the first task", FAILED)
    return _show(next(iter(store.rows.values()))) if store.rows else _say("done", DONE)


def _context(settings: ConsumerSettings, loaded: LoadedConsumer, record: object) -> WorkerContext:
    return WorkerContext(
        name=str(settings.full_name),
        lease_owner="task#0",
        common=loaded.common.model_copy(update={"batch_linger": 0.0, "coalesce": None}),  # nothing else comes
        options=MemoryOptions(records=[record]),
        deadline=StopDeadline(loaded.common.stop_timeout or Settings().stop_timeout),
        emit=_tell_of_error,
        redact=Redaction(loaded.redactor.redact),
    )


def _tell_of_error(fact: Fact) -> None:
    """What a hook raised, or the handler when its task was done; what became of the task is said at the end."""
    if events.failed_after_done.made(fact):
        say(f"\n{fact.fields['error']}: {fact.fields['then']}\n\n", STDOUT)
    if events.hook_failed.made(fact):
        say(f"\n{fact.fields['traceback']}\n\n{fact.fields['hook']} failed: {fact.fields['error']}\n", STDOUT)


def _show(parked: ParkedTask) -> int:
    if parked.traceback:
        say(f"\n{parked.traceback}\n\n", STDOUT)
    if parked.state is ParkedState.WAITING:
        in_s = (parked.due_at or 0.0) - SYSTEM_CLOCK.wall()
        due = iso(parked.due_at or 0.0)
        return _say(f"failed, would be tried again in {max(0.0, in_s):.0f} s ({due}): {parked.error}", FAILED)
    return _say(f"failed, would be parked as dead after {parked.attempts} attempt(s): {parked.error}", FAILED)


def _say(sentence: str, exit_code: int) -> int:
    say(f"{sentence}\n", STDOUT)
    return exit_code


def main(arguments: Sequence[str]) -> int:
    """The top of the process."""
    make_streams_lenient()
    with os.fdopen(int(arguments[0])) as question:
        asked = json.load(question)
    settings = ConsumerSettings.model_validate_json(asked["settings"])
    try:
        if not (settings.execution.is_plain or asked.get("is_executed")):
            fd = copied(json.dumps({**asked, "is_executed": True}), "consumerd-task")
            execute_as(settings.execution, ["consumerd.worker.single", str(fd)], pass_fds=(fd,))
        payload = asked["payload"]
        return run_single(settings, None if payload is None else payload.encode("latin-1"))
    except ConsumerdError as error:
        for line in str(error).splitlines():
            say(f"consumerd: {line}\n")
        return error.exit_code


if __name__ == "__main__":
    ended = int(WorkerExit.BUG)
    try:
        ended = main(sys.argv[1:])
    except BaseException:  # noqa: BLE001 - the top of a process
        say(traceback.format_exc())
    leave(ended, within_s=EXIT_HANDLERS_S)
