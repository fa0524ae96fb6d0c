"""What is wrong with a consumer's class, found without making it. Runs in zygotes, probes and the foreground."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from consumerd.config.common_keys import COMMON_KEYS, CommonKeys
from consumerd.config.problems import Problem
from consumerd.config.shape import LimitBy
from consumerd.config.tables import Place, keys_of
from consumerd.model.contract import is_overridden, live_keys
from consumerd.sources.contract import SourceKind
from consumerd.worker.attempts.error_lists import failures_of
from consumerd.worker.code.keys import KeyOwners

SIGNATURES = {
    "handle_task": "handle_task(self, offset, record)",
    "handle_batch": "handle_batch(self, tasks)",
    "iterate_task": "iterate_task(self), which yields (offset, record)",
    "get_next_batch": "get_next_batch(self), which returns a list of records",
}


def hook_problems(consumer_class: type, hooks: Iterable[str], entry: Place) -> Iterator[Problem]:
    """Which of the hooks that its source needs the user has still to write, or to write otherwise."""
    handler: str = "handle_task"
    called: dict[str, object] = {"offset": 0, "record": None}
    if is_overridden(consumer_class, "handle_batch"):
        handler, called = "handle_batch", {"tasks": []}
        hooks = ["handle_batch" if hook == "handle_task" else hook for hook in hooks]
    name, missing = consumer_class.__name__, [hook for hook in hooks if not is_overridden(consumer_class, hook)]
    for hook in missing:
        yield entry.problem(f"{name} has no {hook}: define {SIGNATURES.get(hook, hook)}", "class")
    takes = None if handler in missing else _other_signature(consumer_class, handler, called)
    if takes is not None:
        yield entry.problem(f"{name}.{handler} takes {takes}: define {SIGNATURES[handler]}", "class")


def _other_signature(consumer_class: type, handler: str, called: Mapping[str, object]) -> inspect.Signature | None:
    """What the handler takes, where it cannot be called as it will be: with these arguments by their names."""
    found = inspect.getattr_static(consumer_class, handler)
    bound_to = () if isinstance(found, staticmethod | classmethod) else (None,)
    try:
        signature = inspect.signature(getattr(consumer_class, handler))
    except (TypeError, ValueError):  # nothing that Python could read: a callable written in C
        return None
    try:
        signature.bind(*bound_to, **called)
    except TypeError:
        bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
        return signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    return None


def live_problems(consumer_class: type, owners: KeyOwners, entry: Place) -> Iterator[Problem]:
    """What is wrong with the class's LIVE_CONFIGS."""
    name = consumer_class.__name__
    try:
        live = live_keys(consumer_class)
    except TypeError as error:
        yield entry.problem(f'{name}: {error}: write the keys of its configs, as ("price_limit",)', "class")
        return
    why = "consumerd or the source uses it, and a worker starts anew when it changes: take it out"
    for key in sorted(live & {*COMMON_KEYS, *keys_of(owners.options)}):
        yield entry.problem(f"{name}: LIVE_CONFIGS names {key!r}: {why}", "class")


def concurrency_problems(consumer_class: type, kind: SourceKind, common: CommonKeys, place: Place) -> Iterator[Problem]:
    """Why it cannot run several tasks at once, where it is told to."""
    if is_overridden(consumer_class, "iterate_task"):
        why = (
            f"{consumer_class.__name__}.iterate_task hands over one task, and is asked for the next when that has ended"
        )
    elif kind.traits.one_at_a_time:
        why = f"a worker of a {kind.name} has one task at a time"
    else:
        return
    if common.at_once.max > 1:
        yield place.problem(f"must be 1: {why}; have more `workers` instead", "concurrency")
    if common.ordered is not None:
        yield place.problem(f"cannot be here: {why}, and so they are in order: leave it out", "ordered")
    if common.limits:
        yield place.problem(f"cannot be here: {why}: leave them out, and wait in the handler", "limits")


def order_problems(consumer_class: type, kind: SourceKind, common: CommonKeys, place: Place) -> Iterator[Problem]:
    """Why tasks of one key would not come in order, where they are to: a topic keeps a key in one partition, rows have
    no key, and any worker claims them.
    """
    if common.ordered is None or kind.traits.positional or kind.traits.one_at_a_time:
        return
    if not is_overridden(consumer_class, "task_key"):
        fix = f"define task_key(self, record) on {consumer_class.__name__}"
        yield place.problem(f"orders nothing: a row has no key of its own: {fix}", "ordered")
    elif kind.traits.claimed_by_any and common.most_workers > 1:
        why = f"any of {common.most_workers} workers claims rows of one key"
        yield place.problem(f"needs `workers = 1`: {why}; have more `concurrency` instead", "ordered")


def limit_problems(consumer_class: type, limits: Mapping[str, LimitBy], configs: Place) -> Iterator[Problem]:
    """Whether it is clear what the limits count together."""
    for name, limit in limits.items():
        if limit.by is not None and is_overridden(consumer_class, "limit_key"):
            by = f"the limit '{name}' is by the field '{limit.by}', and {consumer_class.__name__} has a limit_key"
            yield configs.problem(f"{by}, which says by what for all its limits: remove one of the two", "limits")


def construction_problems(
    consumer_class: type,
    configs: Mapping[str, Any],  # the user's own keys have any value
    entry: Place,
) -> Iterator[Problem]:
    """Whether its `__init__` can be called as a worker calls it: `consumer_class(worker_id, **configs)`."""
    try:
        inspect.signature(consumer_class).bind(0, **configs)
    except TypeError as error:
        fix = "let it take (self, worker_id, **kwargs) and pass them on to super().__init__"
        sentence = f"{consumer_class.__name__}.__init__ does not take its configs ({error}): {fix}"
        yield entry.problem(sentence, "class")
    except ValueError:  # a class without a signature that Python could read, one written in C
        return


def destination_problems(
    consumer_class: type, kind: SourceKind, common: CommonKeys, entry: Place, place: Place
) -> Iterator[Problem]:
    """What its destinations cannot go together with."""
    try:
        failures_of(common)
    except ValueError as error:
        yield place.problem(f"failures: {error}", "breaker")
    if common.destination is None and not is_overridden(consumer_class, "task_destination"):
        return
    sentence = ""
    if kind.traits.one_at_a_time or is_overridden(consumer_class, "iterate_task"):
        sentence = "one task at a time, so that none can wait beside others"
    elif is_overridden(consumer_class, "handle_batch"):
        sentence = "a handle_batch, which tasks of several destinations go into"
    if sentence:
        name = consumer_class.__name__
        yield entry.problem(
            f"{name} names the destinations of its tasks, and has {sentence}: leave out one of them", "class"
        )
