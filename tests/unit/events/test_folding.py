"""A flood of failures does not become a flood of lines."""

from __future__ import annotations

from collections import Counter

from consumerd import events
from consumerd.events.facts import Fact
from consumerd.events.folding import MOST, WINDOW_S, Folding
from unit.events.later import Later


class Flood(Later):
    """A folding before a list, on a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[Fact] = []
        self.folding = Folding(self.facts.append, now=lambda: self.now, later=self.later)

    def fails(self, times: int, error: str = "ValueError: no") -> None:
        for number in range(times):
            task = f"t:{number}"
            self.folding(events.task_failed(offset=number, shard=0, attempt=1, task=task, error=error))
            self.folding(events.task_died(task=task, offset=number, shard=0, state="dead", attempts=1, error=error))

    def counts(self) -> Counter[str]:
        return Counter(fact.name for fact in self.facts)


def test_a_few_failures_are_told_one_by_one() -> None:
    flood = Flood()
    for _ in range(10):
        flood.fails(MOST)
        flood.passes(WINDOW_S)
    assert flood.counts() == {"task_failed": 10 * MOST, "task_parked": 10 * MOST}
    assert not flood.due


def test_a_flood_is_told_by_its_first_ones_and_a_count_of_the_others() -> None:
    flood = Flood()
    flood.fails(500)
    assert flood.counts() == {"task_failed": MOST, "task_parked": MOST}
    flood.passes(WINDOW_S)
    (folded,) = [fact for fact in flood.facts if fact.name == "failures_folded"]
    assert (folded.fields["task_failed"], folded.fields["task_parked"]) == (480, 480)
    assert (folded.fields["last_task"], folded.fields["last_error"]) == ("t:499", "ValueError: no")
    flood.passes(WINDOW_S)
    assert flood.counts()["failures_folded"] == 1


def test_another_error_is_told_in_the_middle_of_a_flood() -> None:
    flood = Flood()
    flood.fails(100)
    flood.fails(1, "KeyError: 'x'")
    assert flood.facts[-1].fields["error"] == "KeyError: 'x'"


def test_errors_of_ever_new_kinds_are_a_flood_as_well() -> None:
    flood = Flood()
    for number in range(1000):
        flood.fails(1, f"user {number} is not there")
    assert len(flood.facts) < 50


def test_what_was_left_out_is_told_before_the_worker_ends() -> None:
    flood = Flood()
    flood.fails(100)
    flood.folding(events.worker_drained(end="drained", handled=0))
    assert [fact.name for fact in flood.facts[-2:]] == ["failures_folded", "worker_drained"]


def test_a_window_that_is_over_is_told_with_the_next_failure_at_the_latest() -> None:
    flood = Flood()
    flood.fails(100)
    flood.now += WINDOW_S  # the thread comes late
    flood.fails(1)
    assert [fact.name for fact in flood.facts[-3:]] == ["failures_folded", "task_failed", "task_parked"]
