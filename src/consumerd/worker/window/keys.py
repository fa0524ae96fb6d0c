"""What orders the tasks of a consumer among each other, and what they need. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from consumerd import events
from consumerd.config.common_keys import CommonKeys
from consumerd.errors import UndecodableError
from consumerd.model.contract import is_overridden
from consumerd.worker.attempts.attempt import Attempt
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.window.batch_lane import CoalesceKey

KeyT = TypeVar("KeyT")

KeyOf = Callable[[Attempt], Hashable]
"""Of a task: what orders it among others; None: nothing does."""


def key_by(consumer: Any, hooks: Hooks) -> KeyOf:  # the user's class
    """By the consumer's `task_key(record)`; where it has none, by the message's own key."""
    if not is_overridden(type(consumer), "task_key"):
        return lambda attempt: attempt.task.key
    return _of_the_record(by_hook("task_key", consumer.task_key, hooks, _hashable, None), None)


def coalesce_key(consumer: Any, hooks: Hooks, by: str | Sequence[str] | None) -> CoalesceKey:  # the user's class
    """By these fields of a record; or by the consumer's `coalesce_key(record)`, where it has that."""
    if is_overridden(type(consumer), "coalesce_key"):
        return by_hook("coalesce_key", consumer.coalesce_key, hooks, _hashable, None)
    return by_fields(by or (), hooks, "coalesce", then="such a record stands for itself")


def order_by(field: str, hooks: Hooks) -> Callable[[object], tuple[bool, Hashable]]:
    """Of a record, what is greater the newer it is, by this field."""
    value_of = by_fields(field, hooks, "coalesce.order_by", then="such a record is the oldest")

    def order_of(record: object) -> tuple[bool, Hashable]:
        value = value_of(record)
        return value is not None, value

    return order_of


def has_destinations(consumer_class: type, common: CommonKeys) -> bool:
    """Whether its tasks name what they need."""
    return common.destination is not None or is_overridden(consumer_class, "task_destination")


def destination_by(consumer: Any, hooks: Hooks, field: str | None) -> Callable[[Attempt], str]:  # the user's class
    """What a task needs, by this field of its record, or by the consumer's `task_destination(record)`; else empty."""
    if field is None:
        return _of_the_record(by_hook("task_destination", consumer.task_destination, hooks, _name, ""), "")
    value_of = by_fields(field, hooks, "destination", then="such a task waits for none")
    return _of_the_record(lambda record: _name(value_of(record)), "")


# How a key is made


def by_fields(names: str | Sequence[str], hooks: Hooks, used_by: str, *, then: str) -> Callable[[object], Hashable]:
    """Of a record: the value of this field, or those of these; None where it lacks one, or that is no value to know a
    record by, such as a list: that is told once.
    """
    names = (names,) if isinstance(names, str) else names
    tell = hooks.once(events.field_missing(field=", ".join(names), used_by=used_by, then=then))
    of_items: Callable[[Any], Hashable] = itemgetter(*names)
    of_attributes: Callable[[Any], Hashable] = attrgetter(*names)

    def key_of(record: object) -> Hashable:
        try:
            is_mapping = type(record) is dict or isinstance(record, Mapping)  # the first is quick
            key: Hashable = (of_items if is_mapping else of_attributes)(record)
            hash(key)
        except (LookupError, AttributeError, TypeError):
            tell()
            return None
        return None if type(key) is tuple and None in key else key

    return key_of


def by_hook(
    name: str, hook: Callable[[Any], object], hooks: Hooks, make: Callable[[object], KeyT], none: KeyT
) -> Callable[[object], KeyT]:
    """Of a record: what is made of what the consumer's hook returns; `none` where it fails, which is reported."""
    return lambda record: hooks.call(name, lambda: make(hook(record)), none)


def _of_the_record(key_of: Callable[[object], KeyT], none: KeyT) -> Callable[[Attempt], KeyT]:
    """Of a task, by its record; `none` where it has none: the attempt says so itself."""

    def key_of_task(attempt: Attempt) -> KeyT:
        try:
            record = attempt.peek()
        except (UndecodableError, ValueError):
            return none
        return key_of(record)

    return key_of_task


def _hashable(returned: Any) -> Hashable:  # whatever the user's method returns
    key: Hashable = returned
    hash(key)
    return key


def _name(destination: object) -> str:
    return "" if destination is None else str(destination)
