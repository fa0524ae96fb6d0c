"""Which facts the command of `on_event` is told of, how often, and in which words."""

from __future__ import annotations

import json
from collections import deque

import pytest

from consumerd.events.facts import Fact, Level
from consumerd.master.event_command import MINUTE_S, MOST_A_MINUTE, Allowance, Event, event_of


@pytest.mark.parametrize(
    ("fact", "name"),
    [
        (Fact("pool_failed", Level.ERROR, {"consumer": "g/a"}), "pool_failed"),
        (Fact("pool_recovered", Level.INFO, {"consumer": "g/a"}), "pool_recovered"),
        (Fact("task_parked", Level.ERROR, {"state": "dead"}), "task_died"),
        (Fact("task_parked", Level.WARNING, {"state": "waiting"}), None),
        (Fact("event_command_ended", Level.WARNING), None),
        (Fact("worker_ended", Level.WARNING), None),
    ],
)
def test_only_what_a_person_must_know_is_an_event(fact: Fact, name: str | None) -> None:
    event = event_of(fact, 0.0)
    assert (event.name if event else None) == name


def test_an_event_is_one_object_and_a_few_variables() -> None:
    event = Event("task_died", 0.0, Level.ERROR, {"consumer": "g/a", "error": "x" * 100_000, "odd": object()})
    told = json.loads(event.as_json(3))
    assert (told["event"], told["level"], told["consumer"], told["suppressed"]) == ("task_died", "error", "g/a", 3)
    assert len(event.as_json(3)) < 10_000
    assert event.variables(3) == {
        "CONSUMERD_EVENT": "task_died",
        "CONSUMERD_CONSUMER": "g/a",
        "CONSUMERD_LEVEL": "error",
        "CONSUMERD_SUPPRESSED": "3",
    }


def test_a_flood_is_counted_and_the_next_minute_says_so() -> None:
    allowance = Allowance()
    assert all(allowance.take(0.1 * number) for number in range(MOST_A_MINUTE))
    assert not any(allowance.take(50.0) for _ in range(7))
    assert allowance.take(MINUTE_S)
    assert allowance.take_suppressed() == 7
    assert allowance.take_suppressed() == 0
    assert allowance.taken == deque([*(0.1 * number for number in range(1, MOST_A_MINUTE)), MINUTE_S])


def test_what_has_no_room_to_wait_is_counted_too() -> None:
    allowance = Allowance()
    assert not allowance.take(0.0, has_room=False)
    assert allowance.take_suppressed() == 1
