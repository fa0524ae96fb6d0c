"""The consumer's contract: its hooks, and which of them a class overrides.

The worker knows a user's class by this module alone; it never imports `consumers`. The base classes mark their own
implementations with `default_hook`, so a hook without the mark is the user's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

HookT = TypeVar("HookT", bound=Callable[..., Any])  # hooks have any signature

_MARK = "__consumerd_default__"

SOURCE_ATTRIBUTE = "SOURCE"
"""The class attribute that names the kind of source, as registered; every base class has it."""

LIVE_ATTRIBUTE = "LIVE_CONFIGS"
"""The class attribute that names those of the consumer's own keys that may change while it runs."""

HOOKS_A_TASK = ("pre_handle_task", "post_handle_task", "around_task", "can_stop_consume")
"""Hooks that run between tasks. A consumer that overrides one of them has each task run by itself."""


def default_hook(function: HookT) -> HookT:
    """Mark a base class's own implementation of a hook."""
    setattr(function, _MARK, True)
    return function


def is_overridden(consumer_class: type, hook: str) -> bool:
    """Whether the user's class has a `hook` of its own; also for a hook that no base class has (`around_task`)."""
    found = getattr(consumer_class, hook, None)
    return found is not None and not getattr(found, _MARK, False)


def is_consumer(candidate: object) -> bool:
    """Whether `candidate` is a class that descends from one of the base classes."""
    return isinstance(candidate, type) and isinstance(getattr(candidate, SOURCE_ATTRIBUTE, None), str)


def live_keys(consumer_class: type) -> frozenset[str]:
    """The keys of `configs` that the class takes live; TypeError where that is no collection of texts."""
    found = getattr(consumer_class, LIVE_ATTRIBUTE, ())
    if isinstance(found, str) or not all(isinstance(key, str) for key in found):
        raise TypeError(f"{LIVE_ATTRIBUTE} is {found!r}")
    return frozenset(found)


def source_kind(consumer_class: type) -> str:
    """The kind of source of a class: what its base says, or `generator` where it brings its own `iterate_task`.

    A Kafka consumer that overrides `iterate_task` reads through its `consume_client` and keeps Kafka's promises.
    """
    declared: str = getattr(consumer_class, SOURCE_ATTRIBUTE)
    if declared == "query" and is_overridden(consumer_class, "iterate_task"):
        return "generator"
    return declared
