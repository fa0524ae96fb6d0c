"""What `consumerd where`, `peek` and `send` ask of one consumer's source. Runs in probes: `inspect` has loaded it.

Asked `{ask, task, may_call}`, `{ask, limit, most_bytes, may_call}` or `{ask, messages, is_dry}`, and where the parking
store is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from consumerd.clock import SYSTEM_CLOCK
from consumerd.config.shape import ConsumerSettings, Settings
from consumerd.errors import UndecodableError, UsageError
from consumerd.inquiry.asking import Plain
from consumerd.model.contract import is_overridden
from consumerd.model.parked import ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.memory import MemoryStore
from consumerd.parking.opening import open_made_store, resolve_parking
from consumerd.parking.records import handle_of, key_of
from consumerd.parking.store import ParkingStore
from consumerd.sources.askable import Askable, AskContext, Message, TaskState, Whereabouts
from consumerd.sources.contract import SourceKind
from consumerd.sources.decoding import limited
from consumerd.sources.memory import MemoryOptions, MemorySource
from consumerd.worker.attempts.handler import record_validator, validating
from consumerd.worker.code.loader import LoadedConsumer
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Link, Redaction, WorkerContext
from consumerd.worker.tasks.interrupts import StopDeadline


def answer(loaded: LoadedConsumer, settings: ConsumerSettings, asked: Plain) -> Plain:
    """What the source says, as plain data; `{misuse}` where it cannot be asked so.

    Raises what else `Askable` does, and StoreAwayError.
    """
    try:
        return _answer(loaded, settings, asked)
    except UsageError as error:
        return {"misuse": loaded.redactor.redact(str(error))}


def _answer(loaded: LoadedConsumer, settings: ConsumerSettings, asked: Plain) -> Plain:
    kind, name, may_call = loaded.kind, str(settings.full_name), bool(asked.get("may_call"))
    if kind.ask is None and asked["ask"] != "where":
        what = "nothing can be sent to" if asked["ask"] == "send" else "nobody can look into"
        raise UsageError(f"{name}: {what} a {kind.name}")
    with _store(asked["parking"], settings, Path(asked["state_dir"])) as store:
        context = AskContext(name, loaded.options, store, lambda: _consumer(loaded, settings), may_call)
        if asked["ask"] == "where":
            return _where(kind, context, asked["task"])
        assert kind.ask is not None, "it was asked above"
        if asked["ask"] == "peek":
            return _peek(kind.ask(context), context, asked["limit"], asked["most_bytes"])
        messages = msgspec.convert(asked["messages"], list[Message])  # their bytes travel as base64
        return _send(kind.ask(context), loaded, messages, is_dry=asked["is_dry"])


def _where(kind: SourceKind, context: AskContext, task: str) -> Plain:
    """Where the task is, and what the parking store has of it; a copy there says more than its source does.

    task: its place, its id, or the handle under which it is parked.
    """
    task_id = next((each.task_id for each in _rows(context, [TaskId(task)]) if _has_handle(each, task)), None)
    if kind.ask is not None:
        found = kind.ask(context).where(task if task_id is None else task_id)
    elif ids := [each.task_id for each in _rows(context, [TaskId(task)]) if each.consumer == context.name]:
        found = Whereabouts(TaskState.UNKNOWN, f"a {kind.name} does not say where its tasks are", tuple(ids))
    else:
        told = f"nothing is parked under {task!r}, and a {kind.name} does not say where its tasks are"
        found = Whereabouts(TaskState.UNKNOWN, told, (TaskId(task),))
    parked = [_parked(each) for each in _rows(context, found.ids) if each.consumer == context.name]
    return {**asdict(found), "parked": parked[0] if parked else None}


def _has_handle(parked: ParkedTask, text: str) -> bool:
    """Whether the text is its handle, or more of its key; the start of one might be another task's id."""
    key = key_of(parked.consumer, parked.task_id)
    return len(text) >= len(handle_of(key)) and key.startswith(text.lower())


def _rows(context: AskContext, ids: Sequence[TaskId]) -> Iterator[ParkedTask]:
    if context.store is not None:
        for task_id in ids:
            yield from context.store.find(task_id, context.name)


def _parked(task: ParkedTask) -> Plain:
    """What people are told of a parked task."""
    handle = handle_of(key_of(task.consumer, task.task_id))
    named = {"handle": handle, "id": task.task_id, "state": task.state.value, "due_at": task.due_at}
    return {**named, "attempts": task.attempts, "crashes": task.crashes, "error": task.error}


def _peek(source: Askable, context: AskContext, limit: int, most_bytes: int) -> Plain:
    upcoming = source.peek(limit)
    ids = [each.id for each in upcoming if each.id is not None]
    entries = {} if context.store is None else context.store.entries_among(context.name, ids)
    tasks = []
    for each in upcoming:
        entry = None if each.id is None else entries.get(each.id)
        tasks.append(
            {
                "task": each.place,
                "id": each.id,
                "note": each.note,
                "parked": None if entry is None else entry.state.value,
                "is_due": entry is not None and entry.is_due,
                "bytes": len(each.payload),
                "payload": _text(each.payload[:most_bytes]),
                "key": None if each.key is None else _text(each.key[:most_bytes]),
            }
        )
    return {"tasks": tasks}


def _send(source: Askable, loaded: LoadedConsumer, messages: list[Message], *, is_dry: bool) -> Plain:
    """Send all of them, or none where one could not be decoded."""
    read = _reader(loaded)
    for number, message in enumerate(messages, 1):
        try:
            read(message.payload)
        except UndecodableError as error:
            raise UsageError(f"record {number} would be parked at once, and nothing was sent: {error}") from error
    places = [None] * len(messages) if is_dry else source.send(messages)
    return {"places": list(places)}


def _reader(loaded: LoadedConsumer) -> Callable[[bytes], object]:
    """Makes a record of a payload as a worker does, or raises UndecodableError.

    A class that reads by its own `iterate_task` decodes by itself: anything may be a record of it.
    """
    kind, limit_bytes = loaded.kind, loaded.common.payload_limit
    if is_overridden(loaded.consumer_class, "iterate_task"):
        return limited(lambda payload: payload, limit_bytes)
    decode = kind.make().decode if kind.decode is None else partial(kind.decode, loaded.options)
    return limited(validating(decode, record_validator(loaded.consumer_class)), limit_bytes)


def _text(content: bytes) -> str:
    """Bytes as a text that becomes the same bytes again, whatever they are."""
    return content.decode("utf-8", "surrogateescape")


@contextmanager
def _store(parking: str | None, settings: ConsumerSettings, state_dir: Path) -> Iterator[ParkingStore | None]:
    resolved, _ = resolve_parking(parking, os.environ, settings.directory)
    store = open_made_store(resolved, state_dir)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


@contextmanager
def _consumer(loaded: LoadedConsumer, settings: ConsumerSettings) -> Iterator[Any]:  # the user's class
    """An instance that has what a worker's has: `self.database`, `self.shard`, which is all of them, and no task."""
    context = WorkerContext(
        name=str(settings.full_name),
        lease_owner="ask#0",
        common=loaded.common,
        options=MemoryOptions(records=[]),
        deadline=StopDeadline(loaded.common.stop_timeout or Settings().stop_timeout),
        emit=lambda fact: None,
        redact=Redaction(loaded.redactor.redact),
    )
    consumer = loaded.consumer_class(0, **loaded.configs)
    runtime = Runtime(context, consumer, MemorySource(), MemoryStore(SYSTEM_CLOCK).as_thread(), Link())
    runtime.open()
    try:
        yield consumer
    finally:
        runtime.shut()
