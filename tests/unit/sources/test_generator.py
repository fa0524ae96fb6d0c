"""A user's own `iterate_task` as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from consumerd import BaseConsumer
from consumerd.errors import SourceRefusedError
from consumerd.model.exits import WorkerExit
from consumerd.sources.generator.source import GeneratorSource
from consumerd.testing.running import NAME, Run


class Popping(BaseConsumer):
    """Gives its tasks away: what it yielded it has forgotten."""

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.queue: list[Any] = ["a", "fails", "b"]
        self.handled: list[Any] = []

    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while self.queue:
            yield number, self.queue.pop(0)
            number += 1

    def handle_task(self, offset: int, record: Any) -> None:
        self.handled.append((offset, record))
        if record == "fails":
            raise ValueError("it failed")


def test_what_it_yields_is_handled_one_at_a_time_and_its_return_finishes_the_slot() -> None:
    run = Run(Popping, source=GeneratorSource())
    assert run.loop.run() is WorkerExit.FINISHED
    assert run.consumer.handled == [(0, "a"), (1, "fails"), (2, "b")]


def test_a_task_without_an_id_is_parked_under_a_random_one_before_the_next_is_asked_for() -> None:
    run = Run(Popping, source=GeneratorSource())
    run.turn(2)
    assert run.consumer.queue == ["b"]
    (row,) = run.store.rows.values()
    assert row.payload == b'"fails"'
    assert row.task_id.startswith(f"{NAME}:")


def test_while_the_store_is_away_the_failed_task_is_kept_and_nothing_more_is_taken() -> None:
    run = Run(Popping, source=GeneratorSource())
    run.store.is_away = True
    run.turn(50)
    assert run.consumer.handled == [(0, "a"), (1, "fails")]
    assert run.consumer.queue == ["b"]
    run.store.is_away = False
    run.clock.advance(30)
    assert run.loop.run() is WorkerExit.FINISHED
    assert len(run.dead()) == 1
    assert run.consumer.handled[-1] == (2, "b")


@pytest.mark.parametrize("yielded", ["text", 7, ("a", "b"), (1, 2, 3)])
def test_what_is_no_pair_of_offset_and_record_is_refused_with_a_sentence(yielded: object) -> None:
    class Wrong(Popping):
        def iterate_task(self) -> Iterator[Any]:
            yield yielded

    run = Run(Wrong, source=GeneratorSource())
    with pytest.raises(SourceRefusedError, match=r"\(offset, record\)"):
        run.turn()
