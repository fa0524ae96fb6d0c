"""What orders the tasks of a consumer among each other, and what they need. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from consumerd.config.common_keys import CommonKeys
from consumerd.errors import UndecodableError
from consumerd.model.contract import is_overridden
from consumerd.worker.attempts.attempt import Attempt
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.window.batch_lane import CoalesceKey
from consumerd.worker.window.in_hand import InHand

KeyOf = Callable[[Attempt], Hashable]
"""Of a task: what orders it among others; None: nothing does."""


def key_by(consumer: Any, hooks: Hooks) -> KeyOf:  # the user's class
    """By the consumer's `task_key(record)`; where it has none, by the message's own key."""
    if not is_overridden(type(consumer), "task_key"):
        return lambda attempt: attempt.task.key

    def key_of(attempt: Attempt) -> Hashable:
        try:
            record = attempt.peek()
        except (UndecodableError, ValueError):
            return None  # the attempt says so itself
        return hooks.call("task_key", partial(_hashable, consumer.task_key, record), None)

    return key_of


def coalesce_key(consumer: Any, hooks: Hooks, by: str | Sequence[str] | None) -> CoalesceKey:  # the user's class
    """By these fields of a record; or by the consumer's `coalesce_key(record)`, where it has that."""
    if is_overridden(type(consumer), "coalesce_key"):
        hook = consumer.coalesce_key
        return lambda record: hooks.call("coalesce_key", partial(_hashable, hook, record), None)
    names = (by,) if isinstance(by, str) else tuple(by or ())
    of_items: Callable[[Any], Hashable] = itemgetter(*names)
    of_attributes: Callable[[Any], Hashable] = attrgetter(*names)

    def key_of(record: object) -> Hashable:
        try:
            is_mapping = type(record) is dict or isinstance(record, Mapping)  # the first is quick
            key: Hashable = (of_items if is_mapping else of_attributes)(record)
            hash(key)
        except (LookupError, AttributeError, TypeError):  # it has none, or a list: nothing that records are known by
            return None
        return None if type(key) is tuple and None in key else key

    return key_of


def _field(record: object, name: str) -> object:
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def _hashable(task_key: Any, record: object) -> Hashable:  # the user's method
    key: Hashable = task_key(record)
    hash(key)
    return key


def has_destinations(consumer_class: type, common: CommonKeys) -> bool:
    """Whether its tasks name what they need."""
    return common.destination is not None or is_overridden(consumer_class, "task_destination")


def destination_by(consumer: Any, hooks: Hooks, field: str | None) -> Callable[[InHand], str]:  # the user's class
    """What a task needs, by this field of its record, or by the consumer's `task_destination(record)`; else empty."""

    def destination_of(task: InHand) -> str:
        try:
            record = task.attempt.peek()
        except (UndecodableError, ValueError):
            return ""  # the attempt says so itself
        if field is not None:
            return _name(_field(record, field))
        return hooks.call("task_destination", lambda: _name(consumer.task_destination(record)), "")

    return destination_of


def _name(destination: object) -> str:
    return "" if destination is None else str(destination)
