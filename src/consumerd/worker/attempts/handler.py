"""What a worker reads off the user's class: the handler, made ready to be called for each task, and how it is retried.

Runs in workers and the foreground.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from functools import cache
from threading import Lock
from types import CodeType, FunctionType, MethodType
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from consumerd import events
from consumerd.config.common_keys import CommonKeys
from consumerd.errors import ConfigurationError, UndecodableError
from consumerd.events.facts import Fact
from consumerd.model.batch_task import BatchTask
from consumerd.model.contract import is_overridden
from consumerd.model.outcome import RetryPolicy
from consumerd.sources.decoding import TOMBSTONE
from consumerd.sources.records import plain_record
from consumerd.worker.attempts.attempt import Handler
from consumerd.worker.attempts.error_lists import by_error

Decode = Callable[[Any], object]

SWALLOWED = "around_task swallowed the error of the task at offset {offset}: let it pass"


class Handlers:
    """The consumer's `handle_task` or `handle_batch`, and `handle_tombstone`, as synchronous callables.

    Where they are coroutines, each call runs to its end on one event loop, which `close` closes.
    task: the bare `handle_task`, for tasks that need nothing else, to be called by position.
    batch: `handle_batch`, where it has that.
    """

    def __init__(self, consumer: Any, emit: Callable[[Fact], None]) -> None:
        """consumer: the user's class, known by its hooks. emit: is told once that tombstones are passed over."""
        self._consumer = consumer
        self._emit = emit
        self.is_async = inspect.iscoroutinefunction(consumer.handle_task)
        self._has_around = is_overridden(type(consumer), "around_task")
        self._runner = asyncio.Runner()  # without an event loop until it runs something
        self.close = self._runner.close
        self.task: Handler = by_position(self._synchronous(consumer.handle_task))
        self._task = self._within_around_task(self.task)
        self.batch: Handler | None = None
        if is_overridden(type(consumer), "handle_batch"):
            handle_batch = consumer.handle_batch
            is_async = inspect.iscoroutinefunction(handle_batch)
            self.batch = (lambda tasks: self._run(handle_batch(tasks=tasks))) if is_async else handle_batch
        self._tombstone: Handler | None = None
        if is_overridden(type(consumer), "handle_tombstone"):
            delete = self._synchronous(consumer.handle_tombstone)
            is_alone = inspect.iscoroutinefunction(consumer.handle_tombstone)  # one event loop for all threads
            turn: AbstractContextManager[object] = Lock() if is_alone else nullcontext()

            def handle(*, offset: int, record: object) -> object:
                with turn:
                    return delete(offset=offset, key=consumer.key)

            self._tombstone = self._within_around_task(handle)
        self._passes_over_first = True

    def any_record(self, *, offset: int, record: object) -> object:
        """Handle a task or a tombstone, `around_task` about either. Tombstones nobody handles are passed over."""
        if record is not TOMBSTONE:
            return self._task(offset=offset, record=record)
        if self._tombstone is not None:
            return self._tombstone(offset=offset, record=None)
        self._pass_over(offset)
        return None

    def any_record_awaited(self, *, offset: int, record: object) -> Awaitable[object]:
        """The same where `handle_task` is a coroutine function, on the event loop that awaits it."""
        if record is TOMBSTONE or self._has_around:
            return self._awaited_within(offset, record)
        begun: Awaitable[object] = self._consumer.handle_task(offset=offset, record=record)
        return begun

    async def _awaited_within(self, offset: int, record: object) -> object:
        if record is TOMBSTONE and self._tombstone is None:
            self._pass_over(offset)
            return None
        if not self._has_around:
            return await self._begun(offset, record)
        around: AbstractContextManager[object] = self._consumer.around_task(
            offset=offset, record=None if record is TOMBSTONE else record
        )
        with around:
            return await self._begun(offset, record)
        raise RuntimeError(SWALLOWED.format(offset=offset))

    async def _begun(self, offset: int, record: object) -> object:
        if record is not TOMBSTONE:
            return await self._consumer.handle_task(offset=offset, record=record)
        result = self._consumer.handle_tombstone(offset=offset, key=self._consumer.key)
        return await result if inspect.isawaitable(result) else result

    def codes(self) -> frozenset[CodeType]:
        """Of what runs while a handler does: what is ours and calls it without a look elsewhere, and its own."""
        methods = [getattr(self._consumer, name, None) for name in ("handle_task", "handle_tombstone")]
        methods += [self.any_record_awaited, self._begun] if self.is_async else [self.any_record, self._task]
        plain = (getattr(method, "__func__", method) for method in methods)
        return frozenset(method.__code__ for method in plain if isinstance(method, FunctionType))

    def coroutine(self) -> asyncio.Task[Any] | None:
        """The one that handles a task now, where it runs to its end by itself."""
        codes, running = self.codes(), asyncio.all_tasks(self.event_loop())
        return next((task for task in running if getattr(task.get_coro(), "cr_code", None) in codes), None)

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The one on which its coroutines run; `close` closes it."""
        return self._runner.get_loop()

    def _pass_over(self, offset: int) -> None:
        if self._passes_over_first:
            self._passes_over_first = False
            advice = "give the consumer a method handle_tombstone(self, offset, key) to handle them"
            self._emit(events.tombstones_passed_over(offset=offset, advice=advice))

    def _synchronous(self, method: Handler) -> Handler:
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda **arguments: self._run(method(**arguments))

    def _run(self, begun: Coroutine[Any, Any, object]) -> object:
        """To its end, in the context of the thread that calls: what is current here is so in the coroutine."""
        return self._runner.run(begun, context=copy_context())

    def _within_around_task(self, handle: Handler) -> Handler:
        """The handler within what `around_task` returns, a context manager that is entered for each attempt."""
        if not self._has_around:
            return handle

        def handle_within(*, offset: int, record: object) -> object:
            around: AbstractContextManager[object] = self._consumer.around_task(offset=offset, record=record)
            with around:
                return handle(offset=offset, record=record)
            raise RuntimeError(SWALLOWED.format(offset=offset))

        return handle_within


def by_position(handle: Handler) -> Handler:
    """The handler, to be called `handle(offset, record)`: itself, where its first two parameters are named so.

    Names in a call cost a trivial task a tenth of all its time. Whoever names its parameters otherwise, or has them in
    another order, gets them by name.
    """
    function = handle.__func__ if isinstance(handle, MethodType) else handle
    first = 1 if isinstance(handle, MethodType) else 0
    if isinstance(function, FunctionType):
        code = function.__code__
        if code.co_varnames[: code.co_argcount][first : first + 2] == ("offset", "record"):
            return handle
    return lambda offset, record: handle(offset=offset, record=record)


@cache
def record_validator(consumer_class: type) -> Decode | None:
    """Where the handler annotates records with a pydantic model: makes one of a decoded record, or raises.

    Read off a class once: asked before the fork, each worker has it.
    """
    model = record_model(consumer_class)
    if model is None:
        return None
    adapter = TypeAdapter(model)

    def validate(record: object) -> object:
        try:
            return adapter.validate_python(plain_record(record))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "record"
            raise UndecodableError(
                f"the record is no {model.__name__}: {place}: {first['msg']} ({error.error_count()} mistake(s))",
                misfit=f"{place}: {first['type']}",
            ) from None

    return validate


def record_model(consumer_class: type) -> type[BaseModel] | None:
    """The pydantic model that the handler names as the type of its records."""
    try:
        annotation = _annotation(consumer_class)
    except NameError:
        return None  # names that exist for type checkers only
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _annotation(consumer_class: Any) -> Any:  # the user's class, and whatever type that names
    """Of the record; in `tasks: list[BatchTask[Login]]`, the innermost type."""
    if not is_overridden(consumer_class, "handle_batch"):
        return get_type_hints(consumer_class.handle_task).get("record")
    tasks = get_type_hints(consumer_class.handle_batch).get("tasks")
    of_one = next(iter(get_args(tasks)), None)
    return next(iter(get_args(of_one)), None) if get_origin(of_one) is BatchTask else None


def validating(decode: Decode, validate: Decode | None) -> Decode:
    """`decode`, then `validate`; `decode` itself where there is nothing to validate."""
    if validate is None:
        return decode
    return lambda payload: validate(decode(payload))


def retry_policy(consumer: object, common: CommonKeys) -> RetryPolicy:
    """The policy of this instance. Attributes that its `__init__` set count before `configs`, as in the post."""
    return RetryPolicy(
        retry_times=int(_number(consumer, "task_retry_times", common.task_retry_times) or 0),
        basic_interval_s=_number(consumer, "RETRY_BASIC_INTERVAL", None) or 0.0,
        back_off_s=_number(consumer, "back_off_time", common.back_off_time) or None,
        max_back_off_s=_number(consumer, "max_back_off_time", common.max_back_off_time),
        expire_s=_number(consumer, "expire_time", common.expire_time),
        by_error=by_error(consumer, common),
    )


def _number(consumer: object, name: str, configured: float | None) -> float | None:
    value = getattr(consumer, name, None)
    if value is None:
        return configured
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ConfigurationError(
            (f"{type(consumer).__name__}.{name} is {value!r}: make it a number of 0 or more, or leave it out",)
        )
    return float(value)
