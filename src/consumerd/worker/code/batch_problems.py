"""What cannot go together with `handle_batch`, and what needs it. Runs in zygotes, probes and the foreground."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.config.common_keys import CommonKeys
from consumerd.config.problems import Problem
from consumerd.config.tables import Place
from consumerd.model.contract import is_overridden
from consumerd.model.slots import MOST_LANES
from consumerd.sources.contract import SourceKind

HOOKS_OF_ONE_TASK = ("handle_task", "pre_handle_task", "post_handle_task", "around_task")
KEYS_OF_BATCHES = ("batch_linger", "batch_across", "coalesce")


def batch_problems(
    consumer_class: type, kind: SourceKind, common: CommonKeys, entry: Place, configs: Place
) -> Iterator[Problem]:
    """entry, configs: where the class and its keys stand."""
    name = consumer_class.__name__
    if not is_overridden(consumer_class, "handle_batch"):
        for key in KEYS_OF_BATCHES:
            if key in common.model_fields_set and key not in configs.moved:  # others may know a default
                yield configs.problem(f"is of no use: {name} has no handle_batch; define it, or leave this out", key)
        return
    for hook in HOOKS_OF_ONE_TASK:
        if is_overridden(consumer_class, hook):
            yield entry.problem(f"{name} has handle_batch and {hook}, which is of one task: keep one of them", "class")
    if is_overridden(consumer_class, "iterate_task") or kind.traits.gives_away or kind.traits.runs_by_hand:
        why = f"a {kind.name}" if kind.traits.runs_by_hand else "its iterate_task"
        yield entry.problem(f"{name} has handle_batch, and {why} gives one task at a time: define handle_task", "class")
    if common.limits:
        yield configs.problem(f"count tasks one by one, and {name} has handle_batch: remove one of the two", "limits")
    if common.at_once.max > 1:
        yield configs.problem(f"must be 1: {name} has handle_batch, and one batch runs at a time", "concurrency")
    if common.soft_timeout is not None:
        yield configs.problem(f"is of one task, and {name} has handle_batch: leave this out", "soft_timeout")
    if common.batch_size > MOST_LANES:
        yield configs.problem(f"must be at most {MOST_LANES}: handle_batch is given no more", "batch_size")
    yield from _coalesce_problems(consumer_class, common, configs)


def _coalesce_problems(consumer_class: type, common: CommonKeys, configs: Place) -> Iterator[Problem]:
    has_hook = is_overridden(consumer_class, "coalesce_key")
    if common.coalesce is None:
        if has_hook:
            yield configs.problem("coalesce is missing: the class has a coalesce_key; write coalesce = {}")
    elif has_hook and common.coalesce.by is not None:
        yield configs.problem("cannot be here: the class has a coalesce_key; keep one of them", "coalesce", "by")
    elif not has_hook and common.coalesce.by is None:
        yield configs.problem('is missing: name a field of the record, as by = "uid"', "coalesce", "by")
