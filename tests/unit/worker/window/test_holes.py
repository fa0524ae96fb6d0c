"""What is left before finished tasks, at a stop and where a shard is taken away: in the runners' suite's own world."""

from __future__ import annotations

import pytest

from contracts.runners import Asynchronous, Batched, Folded, Script, Synchronous, Way, World

WAYS = {
    "threads": Way(Synchronous, {"concurrency": 4}, width=4),
    "batches": Way(Batched, {"batch_size": 4, "batch_linger": 60.0}, width=4),
    "event loop": Way(Asynchronous, {"concurrency": 4}, width=4),
}
KEYED = 16
"""So many tasks of one key, each tried three times, before one that waits for nobody, in a batch of its own."""


def world_of(way: Way, event: str, at: int) -> World:
    script = Script([0] * KEYED + [None], [["fail", "fail", "ok"]] * KEYED + [["ok"]], {at: event})
    world = World(way, script, is_ordered=True)
    world.run()
    return world


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("event", ["stop", "revoke"])
@pytest.mark.parametrize("at", range(2, 8))
def test_what_lies_before_a_finished_task_is_finished_though_the_batch_of_that_is_gone(
    way: Way, event: str, at: int
) -> None:
    world_of(way, event, at).judge()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_of_what_was_lost_nothing_is_begun_to_fill_a_hole(way: Way) -> None:
    world = world_of(way, "lose", 6)
    world.judge()
    assert world.begun_late <= 1


@pytest.mark.parametrize("event", ["stop", "revoke"])
def test_what_was_gathered_before_a_finished_task_is_handled_though_it_was_to_wait(event: str) -> None:
    way = Way(Folded, {"batch_size": 4, "coalesce": {"keep": "all", "max_wait": 60}}, width=4)
    world = World(way, Script([None] * 12, [["ok"]] * 12, {1: event}))
    world.run()
    world.judge()
