"""Every function of history, from every state in which something calls it: what becomes of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from consumerd.master.rules import history
from consumerd.master.rules.observed import Condemned, ObservedPool, Slot, WantedPool, Zygote
from consumerd.master.rules.restart import Ended
from consumerd.model.exits import WorkerExit
from consumerd.model.slots import PoolState, SlotState, ZygoteState

Act = Callable[[ObservedPool], ObservedPool]
StateT = TypeVar("StateT", SlotState, PoolState, ZygoteState)

NOW = 50.0
BUDGET = 5


def ended(status: int, *, restarts_finished: bool = False) -> Act:
    how = Ended(status, is_proven=False, jitter=1.0)
    return lambda pool: history.worker_ended(
        pool, 0, how, NOW, WantedPool(2, 25.0, restarts_finished=restarts_finished)
    )


ABSENT, STARTING, RUNNING = SlotState.ABSENT, SlotState.STARTING, SlotState.RUNNING
DRAINING, BACKING_OFF, FINISHED = SlotState.DRAINING, SlotState.BACKING_OFF, SlotState.FINISHED
STALLED = SlotState.STALLED

SLOTS: dict[str, tuple[Act, dict[SlotState, SlotState]]] = {
    "fork_asked": (
        lambda pool: history.fork_asked(pool, 0, 1, NOW),
        {ABSENT: STARTING, BACKING_OFF: STARTING, FINISHED: STARTING},
    ),
    "not_forked": (
        lambda pool: history.not_forked(pool, 0, 1, NOW, error="no room", jitter=1.0),
        {
            ABSENT: BACKING_OFF,
            BACKING_OFF: BACKING_OFF,
            FINISHED: BACKING_OFF,
            STARTING: BACKING_OFF,
            RUNNING: BACKING_OFF,
            STALLED: BACKING_OFF,
            DRAINING: ABSENT,
        },
    ),
    "ready": (
        lambda pool: history.ready(pool, 0, NOW),
        {STARTING: RUNNING, RUNNING: RUNNING, DRAINING: DRAINING},
    ),
    "proved": (lambda pool: history.proved(pool, 0, NOW), {RUNNING: RUNNING, STALLED: STALLED}),
    "stalled": (lambda pool: history.stalled(pool, 0, NOW), {RUNNING: STALLED}),
    "went_on": (lambda pool: history.went_on(pool, 0, NOW), {RUNNING: RUNNING, STALLED: RUNNING}),
    "condemned": (
        lambda pool: history.condemned(pool, 0, Condemned("was stuck", NOW, NOW)),
        {RUNNING: RUNNING, STALLED: STALLED},
    ),
    "asked_to_leave": (
        lambda pool: history.asked_to_leave(pool, 0, NOW, deadline=75.0),
        {STARTING: DRAINING, RUNNING: DRAINING, STALLED: DRAINING},
    ),
    "hurried": (lambda pool: history.hurried(pool, NOW), {DRAINING: DRAINING, RUNNING: RUNNING}),
    "vacated": (lambda pool: history.vacated(pool, 0, NOW), {BACKING_OFF: ABSENT, FINISHED: ABSENT}),
    "worker_ended: crash": (
        ended(9),
        {STARTING: BACKING_OFF, RUNNING: BACKING_OFF, STALLED: BACKING_OFF, DRAINING: ABSENT},
    ),
    "worker_ended: finished": (
        ended(WorkerExit.FINISHED << 8),
        {STARTING: FINISHED, RUNNING: FINISHED, STALLED: FINISHED, DRAINING: ABSENT},
    ),
    "worker_ended: finished, restarted": (
        ended(WorkerExit.FINISHED << 8, restarts_finished=True),
        {STARTING: BACKING_OFF, RUNNING: BACKING_OFF, STALLED: BACKING_OFF, DRAINING: ABSENT},
    ),
    "zygote_ended: the fork was not reported": (
        lambda pool: history.zygote_ended(
            replace(pool, slots={0: replace(pool.slots[0], pid=None)}), 1, NOW, jitter=1.0
        ),
        dict.fromkeys((STARTING, RUNNING, STALLED, DRAINING, ABSENT), ABSENT)
        | {BACKING_OFF: BACKING_OFF, FINISHED: FINISHED},
    ),
    "zygote_ended: the fork was reported": (
        lambda pool: history.zygote_ended(pool, 1, NOW, jitter=1.0),
        {STARTING: STARTING, RUNNING: RUNNING, STALLED: STALLED, DRAINING: DRAINING},
    ),
}  # fmt: skip

NO_ZYGOTE, LOADING, READY, LEAVING = ZygoteState.ABSENT, ZygoteState.LOADING, ZygoteState.READY, ZygoteState.LEAVING

ZYGOTES: dict[str, tuple[Act, dict[ZygoteState, ZygoteState]]] = {
    "zygote_executed": (lambda pool: history.zygote_executed(pool, 1, 101, NOW), {NO_ZYGOTE: LOADING}),
    "zygote_not_executed": (
        lambda pool: history.zygote_not_executed(pool, 1, NOW, 1.0, error="no room"),
        {NO_ZYGOTE: NO_ZYGOTE},
    ),
    "loaded": (lambda pool: history.loaded(pool, 1, NOW), {LOADING: READY}),
    "load_failed": (
        lambda pool: history.load_failed(pool, 1, NOW, reason="no module", traceback=""),
        {LOADING: LEAVING},
    ),
    "zygote_ended": (
        lambda pool: history.zygote_ended(pool, 1, NOW, jitter=1.0),
        {LOADING: NO_ZYGOTE, READY: NO_ZYGOTE, LEAVING: NO_ZYGOTE},
    ),
}  # fmt: skip

POOL_LOADING, UP, FAILED = PoolState.LOADING, PoolState.UP, PoolState.FAILED
STOPPING, GONE = PoolState.STOPPING, PoolState.GONE
AS_IT_WAS = {state: state for state in PoolState if state is not GONE}

POOLS: dict[str, tuple[Act, dict[PoolState, PoolState]]] = {
    "loaded": (lambda pool: history.loaded(importing(pool), 1, NOW), AS_IT_WAS | {POOL_LOADING: UP}),
    "load_failed": (
        lambda pool: history.load_failed(importing(pool), 1, NOW, reason="no module", traceback=""),
        AS_IT_WAS | {POOL_LOADING: FAILED, UP: FAILED},
    ),
    "zygote_ended": (lambda pool: history.zygote_ended(pool, 1, NOW, jitter=1.0), AS_IT_WAS),
    "zygote_ended: once too often": (
        lambda pool: history.zygote_ended(
            with_zygote(pool, state=LOADING, failures=history.ENDS_WHILE_LOADING - 1), 1, NOW, jitter=1.0
        ),
        AS_IT_WAS | {POOL_LOADING: FAILED},
    ),
    "failed": (
        lambda pool: history.failed(pool, NOW, reason="lost", traceback=""),
        AS_IT_WAS | {POOL_LOADING: FAILED, UP: FAILED},
    ),
    "proved": (lambda pool: history.proved(pool, 0, NOW), AS_IT_WAS | {FAILED: UP}),
    "scaled": (lambda pool: history.scaled(pool, 3, NOW), AS_IT_WAS),
    "editions_forgotten": (lambda pool: history.editions_forgotten(pool, {1}), AS_IT_WAS),
    "rejected": (lambda pool: history.rejected(pool, 2, reason="no", traceback=""), AS_IT_WAS),
    "renewed": (lambda pool: history.renewed(pool, NOW), AS_IT_WAS | {FAILED: POOL_LOADING}),
}  # fmt: skip

PURE_READERS = {"new_pool"}


def importing(pool: ObservedPool) -> ObservedPool:
    return with_zygote(pool, state=LOADING)


def with_zygote(pool: ObservedPool, **changes: object) -> ObservedPool:
    return replace(pool, zygotes={1: replace(pool.zygote(1), **changes)})  # type: ignore[arg-type]  # by name


def pool_with(*, state: PoolState = UP, zygote: ZygoteState = READY, slot: SlotState = RUNNING) -> ObservedPool:
    slots = {0: Slot(state=slot, generation=1, edition=1, pid=200, since=1.0)}
    zygotes = {1: Zygote(state=zygote, pid=100, since=1.0)}
    established = 0 if state is POOL_LOADING else 1
    return ObservedPool(state=state, since=1.0, zygotes=zygotes, slots=slots, established=established)


def cases(table: Mapping[str, tuple[Act, Mapping[StateT, StateT]]]) -> list[ParameterSet]:
    return [
        pytest.param(act, before, after, id=f"{name}-{before}")
        for name, (act, becomes) in table.items()
        for before, after in becomes.items()
    ]


@pytest.mark.parametrize(("act", "before", "after"), cases(SLOTS))
def test_what_becomes_of_a_slot(act: Act, before: SlotState, after: SlotState) -> None:
    assert act(pool_with(slot=before)).slots[0].state is after


@pytest.mark.parametrize(("act", "before", "after"), cases(ZYGOTES))
def test_what_becomes_of_a_zygote(act: Act, before: ZygoteState, after: ZygoteState) -> None:
    assert act(pool_with(zygote=before)).zygote(1).state is after


@pytest.mark.parametrize(("act", "before", "after"), cases(POOLS))
def test_what_becomes_of_a_pool(act: Act, before: PoolState, after: PoolState) -> None:
    assert act(pool_with(state=before)).state is after


def test_every_function_of_history_is_in_a_table() -> None:
    functions = {
        name
        for name, function in inspect.getmembers(history, inspect.isfunction)
        if function.__module__ == history.__name__ and not name.startswith("_")
    }
    named = {name.split(":")[0] for name in (*SLOTS, *ZYGOTES, *POOLS)}
    assert functions - PURE_READERS == named


def test_what_is_on_its_way_out_has_until_the_earlier_deadline() -> None:
    pool = with_zygote(pool_with(slot=DRAINING), state=LEAVING, deadline=75.0).with_slot(0, deadline=75.0)
    for deadline in (60.0, 70.0):
        pool = history.hurried(pool, deadline)
        assert (pool.slots[0].deadline, pool.zygote(1).deadline) == (60.0, 60.0)


@pytest.mark.parametrize("state", [ABSENT, BACKING_OFF])
def test_each_refusal_of_the_system_makes_the_next_pause_longer(state: SlotState) -> None:
    pauses = []
    pool = pool_with(slot=state)
    for _ in range(3):
        pool = history.not_forked(pool, 0, 1, NOW, error="no room", jitter=1.0)
        pauses.append(pool.slots[0].due_at - NOW)
    assert pauses == sorted(set(pauses))
    assert pauses[0] > 0
