"""Wear, pure: whether a worker has done its part and is to be replaced. Runs in the master.

Each process has limits a little below the configured ones, by a jitter of its own: the slots of a pool that started
together do not wear out together.
"""

from __future__ import annotations

from consumerd.config.amounts import size
from consumerd.config.common_keys import CommonKeys

SPREAD = 0.2
"""So much below a limit, at most, a worker may be replaced."""


def has_limits(common: CommonKeys) -> bool:
    """Whether the workers of a consumer wear out at all."""
    return (common.max_tasks, common.max_memory, common.max_age) != (None, None, None)


def worn_out(
    common: CommonKeys, *, tasks: int = 0, memory_bytes: int | None = None, age_s: float = 0.0, jitter: float
) -> tuple[str, str] | None:
    """Why a worker that has come to this is to be replaced, the key of its limit and a sentence; or None.

    memory_bytes: None where nobody has read it. jitter: the worker's own, from [0, 1).
    """
    share = 1 - SPREAD * jitter
    if common.max_tasks is not None and tasks >= common.max_tasks * share:
        return "max_tasks", f"it has done {tasks} tasks, max_tasks is {common.max_tasks}"
    if common.max_memory is not None and memory_bytes is not None and memory_bytes >= common.max_memory * share:
        own, limit = size(memory_bytes), size(common.max_memory)
        return "max_memory", f"it has {own} of its own, max_memory is {limit}"
    if common.max_age is not None and age_s >= common.max_age * share:
        return "max_age", f"it is {age_s:.0f} s old, max_age is {common.max_age:g} s"
    return None
