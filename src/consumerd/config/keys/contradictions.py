"""Which of the common keys cannot be together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consumerd.config.common_keys import CommonKeys


def contradictions(keys: CommonKeys) -> Iterator[str]:
    """A sentence for each pair of keys that cannot be together, with what to do."""
    first, largest, soft, coalesce = keys.back_off_time, keys.max_back_off_time, keys.soft_timeout, keys.coalesce
    if soft is not None and soft >= keys.task_timeout:
        yield f"soft_timeout ({soft:g}) must be less than task_timeout ({keys.task_timeout:g})"
    if first is not None and largest is not None and largest < first:
        yield f"max_back_off_time ({largest:g}) must be at least back_off_time ({first:g})"
    if keys.ordered is not None and first is not None:
        yield (
            'ordered = "key" and back_off_time exclude each other: a task that is put off would be overtaken by '
            "the next of its key. Leave out back_off_time; with task_retry_times it is tried again in its place"
        )
    if coalesce is not None and keys.ordered is not None:
        yield "coalesce and ordered cannot be together: tasks of one key would wait for each other"
    if coalesce is not None and coalesce.max_wait is not None and coalesce.max_wait <= keys.batch_linger:
        yield f"batch_linger ({keys.batch_linger:g}) must be less than coalesce.max_wait ({coalesce.max_wait:g})"
