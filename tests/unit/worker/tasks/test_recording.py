"""What a worker's flight recorder holds of the tasks that it has ended; time moves by hand."""

from __future__ import annotations

from typing import Any, ClassVar

from consumerd import BaseConsumer, BatchTask, Dead, Retry
from consumerd.testing.running import NAME, Run
from consumerd.wire.figures.counters import Counter
from consumerd.wire.figures.recorder import ENTRIES, Ended, recording_in


class Recorded(BaseConsumer):
    """A record says how its handling ends, and how long it takes."""

    SOURCE: ClassVar[str] = "memory"
    run: ClassVar[Run]

    def handle_task(self, offset: int, record: Any) -> object:
        match record:
            case "dead":
                return Dead("no such user")
            case "retry":
                return Retry(after=5)
            case float(took_s):
                self.run.clock.advance(took_s)
        return None


class Hooked(Recorded):
    """The same, one task at a time."""

    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""


class Batched(BaseConsumer):
    """The same in batches."""

    SOURCE: ClassVar[str] = "memory"
    run: ClassVar[Run]

    def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
        self.run.clock.advance(sum(task.record for task in tasks if isinstance(task.record, float)))
        return [Dead("no such user") if task.record == "dead" else None for task in tasks]


def ended(consumer: type[Recorded | Batched], records: list[object], **configs: Any) -> list[Ended]:
    run = consumer.run = Run(consumer, records, configs=configs)
    run.until_idle()
    recording = recording_in(run.board.words)
    assert recording.torn == 0
    return list(recording.ended)


def summary(found: list[Ended]) -> list[tuple[object, ...]]:
    return [(each.outcome, each.first, each.last, each.tasks, each.task_id) for each in found]


def test_what_a_fast_loop_ends_in_a_stretch_is_one_entry_and_each_has_about_its_share() -> None:
    first, failed, last = ended(Recorded, [0.5, 1.5, 1.0, "dead", "ok"])
    assert summary([first, failed, last]) == [
        (None, 0, 2, 3, f"{NAME}:2"),
        (Counter.DEAD, 3, 3, 1, f"{NAME}:3"),
        (None, 4, 4, 1, f"{NAME}:4"),
    ]
    assert first.ran == failed.ran == (0.75, True)
    assert last.ran == (0.0, False)


def test_what_runs_one_by_one_has_its_own_time() -> None:
    found = ended(Hooked, [0.5, "retry", 2.0])
    assert summary(found) == [
        (None, 0, 0, 1, f"{NAME}:0"),
        (Counter.RETRIED, 1, 1, 1, f"{NAME}:1"),
        (None, 2, 2, 1, f"{NAME}:2"),
    ]
    assert [each.ran for each in found] == [(0.5, False), (0.0, False), (2.0, False)]
    assert [each.at for each in found] == sorted(each.at for each in found)


def test_a_parked_task_that_is_tried_again_is_recorded_again() -> None:
    run = Recorded.run = Run(Recorded, ["retry"])
    run.until_idle()
    run.advance(6)
    assert [each.outcome for each in recording_in(run.board.words).ended] == [Counter.RETRIED, Counter.RETRIED]


def test_each_of_several_at_once_has_its_own_time_and_quick_ones_go_together() -> None:
    found = ended(Recorded, [*["ok"] * 5, "dead", 3.0], concurrency=2)
    assert sum(each.tasks for each in found) == 7
    assert [each.last for each in found if each.outcome is Counter.DEAD] == [5]
    slow = next(each for each in found if each.last == 6)
    assert (slow.tasks, slow.task_id, slow.ran) == (1, f"{NAME}:6", (3.0, False))


def test_of_a_batch_each_has_its_share() -> None:
    found = ended(Batched, [0.25, 0.75, "dead"], batch_size=3)
    assert summary(found) == [
        (None, 0, 1, 2, f"{NAME}:1"),
        (Counter.DEAD, 2, 2, 1, f"{NAME}:2"),
    ]
    assert [each.ran.is_about for each in found] == [True] * 2
    assert [round(each.ran.seconds, 6) for each in found] == [round(1 / 3, 6)] * 2


def test_a_quick_batch_is_one_entry() -> None:
    (found,) = ended(Batched, ["ok"] * 20, batch_size=20)
    assert (found.tasks, found.ran) == (20, (0.0, True))


def test_the_newest_are_kept() -> None:
    found = ended(Hooked, [0.002] * (ENTRIES + 5))
    assert [each.last for each in found] == list(range(5, ENTRIES + 5))
