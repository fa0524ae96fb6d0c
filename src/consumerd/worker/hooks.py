"""The hooks that consumerd itself calls between tasks. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hooks:
    """Of one consumer; `consumer` is the user's instance, known by them alone."""

    def __init__(self, consumer: Any) -> None:  # the user's class
        self.reload_config: Callable[[], None] = consumer.reload_config
        self.can_stop_consume: Callable[[], bool] = consumer.can_stop_consume
        self.pre_handle_task: Callable[[], None] = consumer.pre_handle_task
        self.post_handle_task: Callable[[], None] = consumer.post_handle_task
        self._consumer = consumer

    def count(self, tasks: int) -> None:
        """Keep the seed's `number_of_consumed`."""
        self._consumer.number_of_consumed += tasks
