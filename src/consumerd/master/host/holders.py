"""Who has a place in the shared table of the workers. Runs in the master."""

from __future__ import annotations

from functools import cached_property

from consumerd.wire.shared_table import HOLDERS, SharedTable


class Holders:
    """Numbers for workers in the shared table. Whoever takes one gives it back when its worker is gone."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    @cached_property
    def table(self) -> SharedTable:
        """The table, made when somebody first needs it."""
        return SharedTable.create()

    def take(self) -> int | None:
        """The lowest number that is free; None where there is none: a worker without one uses no table."""
        number = next((number for number in range(HOLDERS) if number not in self._taken), None)
        if number is not None:
            self._taken.add(number)
            self.table.admit(number)
        return number

    def give_back(self, number: int | None) -> None:
        """The worker of this number is gone, and what it held with it."""
        if number is not None:
            self.table.forget(number)
            self._taken.discard(number)
