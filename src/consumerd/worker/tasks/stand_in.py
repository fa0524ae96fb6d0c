"""A stand-in for the store thread, where nothing is to be kept. Runs where no worker does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from consumerd.model.parked import ParkedTask


class StoreStandIn:
    """It is empty, and holds what it is given only to show it."""

    def __init__(self) -> None:
        self.parked: list[ParkedTask] = []

    def call(self, function: Callable[[Any], Any], timeout_s: float = 0.0, *, undo: object = None) -> Any:  # as a store
        del timeout_s, undo
        return function(self)

    def has_nothing(self, consumer: str) -> bool:
        del consumer
        return True

    def park(self, tasks: Sequence[ParkedTask]) -> None:
        self.parked.extend(tasks)
