"""The user's handler, made ready to be called for each task. Runs in workers and the foreground."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from consumerd import events
from consumerd.errors import UndecodableError
from consumerd.events.facts import Fact
from consumerd.model.contract import HOOKS_A_TASK, is_overridden
from consumerd.sources.decoding import TOMBSTONE
from consumerd.worker.tasks.fast import Handler

Decode = Callable[[Any], object]


def needs_general_loop(consumer_class: type) -> bool:
    """Whether a hook runs between tasks, so that the fast loop would pass it by; or the offsets are the user's own."""
    return any(is_overridden(consumer_class, hook) for hook in (*HOOKS_A_TASK, "iterate_task"))


class Handlers:
    """The consumer's `handle_task` and `handle_tombstone` as synchronous callables.

    Where they are coroutines, each call runs to its end on one event loop, which `close` closes.
    tombstone: None where the class has no such hook of its own; else it takes a record too, which is None.
    """

    def __init__(self, consumer: Any) -> None:  # the user's class, known by its hooks
        self._runner = asyncio.Runner()  # without an event loop until it runs something
        self.close = self._runner.close
        self.task: Handler = self._synchronous(consumer.handle_task)
        self.tombstone: Handler | None = None
        if is_overridden(type(consumer), "handle_tombstone"):
            delete = self._synchronous(consumer.handle_tombstone)
            self.tombstone = lambda *, offset, record: delete(offset=offset, key=consumer.key)

    def _synchronous(self, method: Handler) -> Handler:
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda **arguments: self._runner.run(method(**arguments))


def for_any_record(consumer: Any, handlers: Handlers, emit: Callable[[Fact], None]) -> Handler:
    """The handler of tasks and tombstones, `around_task` about both. Tombstones nobody handles are passed over.

    consumer: the user's class, known by its hooks. emit: is told once that tombstones are passed over.
    """
    handle = hooked_handler(consumer, handlers.task)
    delete = None if handlers.tombstone is None else hooked_handler(consumer, handlers.tombstone)
    is_first = iter([True])

    def handle_any(*, offset: int, record: object) -> object:
        if record is not TOMBSTONE:
            return handle(offset=offset, record=record)
        if delete is not None:
            return delete(offset=offset, record=None)
        if next(is_first, False):
            advice = "give the consumer a method handle_tombstone(self, offset, key) to handle them"
            emit(events.tombstones_passed_over(offset=offset, advice=advice))
        return None

    return handle_any


def hooked_handler(consumer: Any, handle: Handler) -> Handler:  # the user's class, known by its hooks
    """The handler with `around_task` about it: a method that returns a context manager, entered for each attempt."""
    if not is_overridden(type(consumer), "around_task"):
        return handle

    def handle_within(*, offset: int, record: object) -> object:
        surroundings: AbstractContextManager[object] = consumer.around_task(offset=offset, record=record)
        with surroundings:
            return handle(offset=offset, record=record)
        raise RuntimeError(f"around_task swallowed the error of the task at offset {offset}: let it pass")

    return handle_within


@cache
def record_validator(consumer_class: type) -> Decode | None:
    """Where `handle_task` annotates `record` with a pydantic model: makes one of a decoded record, or raises.

    Read off a class once: asked before the fork, each worker has it.
    """
    try:
        annotation = get_type_hints(consumer_class.handle_task).get("record")  # type: ignore[attr-defined]  # a hook
    except NameError:
        return None  # names that exist for type checkers only: no model to validate with
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    adapter = TypeAdapter(annotation)

    def validate(record: object) -> object:
        try:
            return adapter.validate_python(record)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "record"
            raise UndecodableError(
                f"the record is no {annotation.__name__}: {place}: {first['msg']} ({error.error_count()} mistake(s))"
            ) from None

    return validate


def validating(decode: Decode, validate: Decode | None) -> Decode:
    """`decode`, then `validate`; `decode` itself where there is nothing to validate."""
    if validate is None:
        return decode
    return lambda payload: validate(decode(payload))
