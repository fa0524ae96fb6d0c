"""When a source counts as silent: by the lag that a worker measures, and what the workers do."""

from __future__ import annotations

import itertools

from consumerd.master.rules.flow import REPLACE_AFTER_S, SHARD_STALLED_AFTER_S, Flow, MeasuredLag, flowed, one_replaced


def lag(at: float, *shards: tuple[int, int, int]) -> MeasuredLag:
    """(shard, tasks, position) of each, as measured at this time."""
    return MeasuredLag(tuple((shard, tasks, None, position) for shard, tasks, position in shards), at)


def watched(
    until: int, *, tasks: int = 5, moves: bool = False, done_a_second: int = 0, at_work: bool = False, step: int = 1
) -> Flow:
    """A look a second, a measurement every ten seconds."""
    flow = None
    measured = None
    for now in range(0, until + 1, step):
        if now % 10 == 0:
            measured = lag(now, (3, tasks, now if moves else 100))
        flow = flowed(flow, measured, done=now * done_a_second, is_at_work=at_work, now=float(now))
    assert flow is not None
    return flow


def test_a_shard_in_which_tasks_wait_while_nobody_does_anything_is_stalled() -> None:
    assert watched(19).stalled(19.0) == {}
    assert watched(20).stalled(20.0) == {3: 0.0}


def test_a_shard_is_not_stalled_while_anything_moves() -> None:
    for flow in (
        watched(100, tasks=0),
        watched(100, moves=True),
        watched(100, done_a_second=1),
        watched(100, at_work=True),
    ):
        assert flow.stalled(100.0) == {}
        assert not flow.must_replace(100.0)


def test_a_shard_whose_tasks_can_come_to_no_worker_is_not_stalled() -> None:
    measured = MeasuredLag(((3, 5, None, 100),), 90.0, blocked=frozenset({3}))
    flow = watched(80)
    assert flow.stalled(80.0) == {3: 0.0}
    assert flowed(flow, measured, done=0, is_at_work=False, now=90.0).stalled(90.0) == {}


def test_a_lag_that_nobody_has_measured_for_long_says_nothing() -> None:
    flow = watched(60)
    assert flow.stalled(89.0) == {3: 0.0}
    assert flow.stalled(90.0) == {}


def test_one_worker_is_replaced_and_the_next_later_and_later() -> None:
    flow, replaced_at = watched(20), []
    for now in range(21, 3000):
        measured = lag(now - now % 10, (3, 5, 100))
        flow = flowed(flow, measured, done=0, is_at_work=False, now=float(now))
        if flow.must_replace(float(now)):
            replaced_at.append(now)
            flow = one_replaced(flow, float(now))
    pauses = [later - earlier for earlier, later in itertools.pairwise(replaced_at)]
    assert replaced_at[0] == REPLACE_AFTER_S
    assert pauses == [60, 120, 240, 480, 960]


def test_a_position_that_moves_makes_the_pauses_begin_anew() -> None:
    flow = one_replaced(watched(60), 60.0)
    flow = flowed(flow, lag(70.0, (3, 5, 100)), done=0, is_at_work=False, now=70.0)
    assert flow.replaced == 1
    flow = flowed(flow, lag(80.0, (3, 5, 101)), done=1, is_at_work=False, now=80.0)
    assert (flow.replaced, flow.stalled(80.0 + SHARD_STALLED_AFTER_S - 1)) == (0, {})
