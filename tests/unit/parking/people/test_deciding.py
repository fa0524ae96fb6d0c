"""The walk over all rows of the store, in steps that stay short."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consumerd.errors import StoreAwayError
from consumerd.parking.people.deciding import FIRST_ROWS, LONGEST_STEP_S, MOST_ROWS, walk

GIVEN_UP_AFTER_S = 10.0


class Table:
    """So many rows, at a clock of its own. A step takes so long for each; one that takes too long fails, undone."""

    def __init__(self, rows: int, seconds_for_one: Callable[[int], float]) -> None:
        """seconds_for_one: by the number of the step."""
        self.now_s = 0.0
        self.took_s: list[float] = []
        self._keys = [f"{number:032x}" for number in range(rows)]
        self._seconds_for_one = seconds_for_one

    def step(self, after: str, rows: int) -> tuple[list[str], str | None]:
        first = int(after, 16) + 1 if after else 0
        found = self._keys[first : first + rows]
        self.took_s.append(len(found) * self._seconds_for_one(len(self.took_s)))
        self.now_s += self.took_s[-1]
        if self.took_s[-1] > GIVEN_UP_AFTER_S:
            raise StoreAwayError("timed out")
        return found, found[-1] if len(found) == rows else None

    def is_walked_once(self) -> bool:
        walked = [key for found in walk(self.step, lambda: self.now_s) for key in found]
        return walked == self._keys


@pytest.mark.parametrize("rows", [0, 1, FIRST_ROWS, FIRST_ROWS + 1, 3 * FIRST_ROWS, 100_000])
def test_the_steps_cover_every_row_once(rows: int) -> None:
    assert Table(rows, lambda step: 0.0).is_walked_once()


def test_a_step_has_a_limit_however_fast_it_is() -> None:
    table = Table(100 * MOST_ROWS, lambda step: 0.0)
    assert table.is_walked_once()
    assert 100 < len(table.took_s) < 110


def test_steps_are_of_less_than_a_second_whatever_the_first_ones_took() -> None:
    table = Table(10_000, lambda step: 0.02)
    assert table.is_walked_once()
    assert table.took_s[0] == FIRST_ROWS * 0.02
    assert max(table.took_s[10:]) <= LONGEST_STEP_S


def test_a_step_that_failed_is_tried_again_with_fewer_rows() -> None:
    table = Table(50_000, lambda step: 0.01 if step == 8 else 0.00001)
    assert table.is_walked_once()
    assert table.took_s[8] > GIVEN_UP_AFTER_S > table.took_s[9]


def test_a_step_that_fails_with_the_fewest_rows_too_ends_the_walk() -> None:
    table = Table(50_000, lambda step: 1.0 if step >= 8 else 0.00001)
    with pytest.raises(StoreAwayError, match="timed out"):
        table.is_walked_once()
    assert len(table.took_s) < 13
