"""What orders the tasks of a consumer among each other. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

from consumerd.errors import UndecodableError
from consumerd.model.contract import is_overridden
from consumerd.worker.attempts.attempt import Attempt
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.window.handling import KeyOf


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


def _hashable(task_key: Any, record: object) -> Hashable:  # the user's method
    key: Hashable = task_key(record)
    hash(key)
    return key
