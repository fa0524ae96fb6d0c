"""The hooks that consumerd itself calls between tasks. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from consumerd.model.contract import live_keys
from consumerd.worker.amendments import Amendments


class Hooks:
    """Of one consumer; `consumer` is the user's instance, known by them alone."""

    def __init__(self, consumer: Any, amendments: Amendments) -> None:  # the user's class
        self.reload_config: Callable[[], None] = consumer.reload_config
        self.can_stop_consume: Callable[[], bool] = consumer.can_stop_consume
        self.pre_handle_task: Callable[[], None] = consumer.pre_handle_task
        self.post_handle_task: Callable[[], None] = consumer.post_handle_task
        self._consumer = consumer
        self._amendments = amendments

    def amend(self) -> None:
        """Give the consumer what has come for its live keys, and call its hook."""
        live = live_keys(type(self._consumer))
        if self._amendments.apply(self._consumer.config, live):
            self.reload_config()

    def count(self, tasks: int) -> None:
        """Keep the seed's `number_of_consumed`."""
        self._consumer.number_of_consumed += tasks
