"""How late tasks are handled: each once, by two looks at the clock a batch."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from consumerd.sources.contract import Source
from consumerd.testing.clock import ManualClock
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.time_behind import TimeBehind


@dataclass
class Due:
    """Stands for a source and for its batches."""

    raws: list[int]
    due: tuple[float, float] | None

    def due_between(self, batch: Due) -> tuple[float, float] | None:
        return batch.due


class Noted:
    def __init__(self, source: Any) -> None:
        self.clock = ManualClock()
        self.found: list[tuple[int, float]] = []
        board = SimpleNamespace(note_behind=lambda tasks, due_s: self.found.append((tasks, round(due_s, 6))))
        context = cast("WorkerContext", SimpleNamespace(clock=self.clock, board=board))
        self.behind = TimeBehind(context, cast("Source", source))

    def handle(self, batch: Any, took_s: float) -> list[tuple[int, float]]:
        self.found.clear()
        self.behind.begin(batch)
        self.clock.advance(took_s)
        self.behind.end()
        return self.found


@given(st.integers(1, 1000))
def test_every_task_of_a_batch_is_counted_once(tasks: int) -> None:
    noted = Noted(Due([], None))
    now = noted.clock.wall()
    found = noted.handle(Due([0] * tasks, (now - 5, now - 2)), 1.0)
    assert sum(count for count, _ in found) == tasks
    assert [due_s for _, due_s in found] == [5.0, 3.0][: len(found)]
    assert noted.handle(None, 1.0) == []


def test_what_nobody_knows_is_not_counted() -> None:
    assert Noted(Due([], None)).handle(Due([1, 2], None), 1.0) == []
    assert Noted(SimpleNamespace()).handle(Due([1, 2], (0.0, 0.0)), 1.0) == []
