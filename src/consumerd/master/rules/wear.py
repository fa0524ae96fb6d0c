"""Wear, pure: whether a worker has done its part and is to be replaced. Runs in the master.

Each process has limits a little below the configured ones, by a jitter of its own: the slots of a pool that started
together do not wear out together.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.config.common_keys import CommonKeys
from consumerd.config.sizes import size_text

SPREAD = 0.2
"""So much below a limit, at most, a worker may be replaced."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker of a pool may come to; None: anything."""

    tasks: int | None
    memory_bytes: int | None
    age_s: float | None

    @classmethod
    def of(cls, common: CommonKeys) -> Limits:
        return cls(common.max_tasks, common.max_memory, common.max_age)

    @property
    def are_there(self) -> bool:
        return any(limit is not None for limit in (self.tasks, self.memory_bytes, self.age_s))


@dataclass(frozen=True, slots=True)
class Worn:
    """What a worker has come to. memory_bytes: None where nobody has read it."""

    tasks: int
    memory_bytes: int | None
    age_s: float


def worn_out(limits: Limits, worker: Worn, jitter: float) -> str | None:
    """Why a worker is to be replaced, or None. jitter: its own, from [0, 1)."""
    share = 1 - SPREAD * jitter
    if limits.tasks is not None and worker.tasks >= limits.tasks * share:
        return f"it has done {worker.tasks} tasks, max_tasks is {limits.tasks}"
    memory_bytes = worker.memory_bytes
    if limits.memory_bytes is not None and memory_bytes is not None and memory_bytes >= limits.memory_bytes * share:
        return f"it has {size_text(memory_bytes)} of its own, max_memory is {size_text(limits.memory_bytes)}"
    if limits.age_s is not None and worker.age_s >= limits.age_s * share:
        return f"it is {worker.age_s:.0f} s old, max_age is {limits.age_s:g} s"
    return None
