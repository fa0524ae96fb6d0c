from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.master.rules.observed import Condemned, Slot
from consumerd.master.rules.restart import (
    CAP_S,
    FAILURES_THAT_REJECT,
    FAILURES_THAT_TELL,
    PROVEN_AFTER_S,
    Cause,
    cause_of,
    is_proven,
    is_refuted,
    pause_s,
)
from consumerd.model.exits import WorkerExit
from consumerd.model.slots import SlotState
from consumerd.wire.board import Reading, WorkerState

LARGEST = 0.999999


def reading(*, handled: int, parked: int = 0, unsettled: int = 0, has_committed: bool = False) -> Reading:
    found = Reading(1, WorkerState.RUNNING, handled=handled, parked=parked, unsettled=unsettled)
    return replace(found, has_committed=has_committed)


@given(st.floats(0, LARGEST))
def test_the_first_failure_is_restarted_at_once(jitter: float) -> None:
    assert pause_s(1, jitter) == 0


def test_pauses_double_up_to_the_cap() -> None:
    assert [pause_s(failures, 1.0) for failures in range(2, 10)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(0, 10_000), st.floats(0, LARGEST))
def test_no_pause_is_above_the_cap_or_below_zero(failures: int, jitter: float) -> None:
    assert 0 <= pause_s(failures, jitter) <= CAP_S


def test_jitter_is_full() -> None:
    assert pause_s(8, 0.0) == 0
    assert pause_s(8, 0.5) == CAP_S / 2


def test_a_worker_is_proven_by_its_time_in_the_loop_where_its_source_answers() -> None:
    answered = replace(reading(handled=0), has_answered=True)
    assert is_proven(PROVEN_AFTER_S, answered)
    assert not is_proven(PROVEN_AFTER_S - 0.1, answered)
    assert not is_proven(3600, replace(answered, has_answered=False))
    assert not is_proven(3600, None)


def test_a_worker_is_proven_by_a_task_done_and_settled_not_by_one_that_failed() -> None:
    assert is_proven(0.1, reading(handled=3, unsettled=2))
    assert is_proven(0.1, reading(handled=1, parked=1, unsettled=1))
    assert not is_proven(0.1, reading(handled=0, parked=1))
    assert not is_proven(0.1, reading(handled=3, unsettled=3))
    assert is_proven(0.1, reading(handled=3, unsettled=100, has_committed=True))
    assert not is_proven(0.1, reading(handled=0, has_committed=True))
    assert not is_proven(0.1, reading(handled=0))


def test_a_worker_whose_tasks_all_fail_is_not_proven_by_time() -> None:
    failing = replace(reading(handled=0, parked=3), failed=FAILURES_THAT_TELL, has_answered=True)
    assert not is_proven(PROVEN_AFTER_S, failing)
    assert is_proven(PROVEN_AFTER_S, replace(failing, failed=FAILURES_THAT_TELL - 1))
    assert is_proven(PROVEN_AFTER_S, replace(failing, handled=1))


def test_a_worker_is_refuted_by_few_failures_in_time_or_by_many_at_once_and_by_none_beside_a_task_done() -> None:
    few = Reading(1, WorkerState.RUNNING, failed=FAILURES_THAT_TELL, parked=3)
    many = replace(few, failed=FAILURES_THAT_REJECT)
    assert is_refuted(PROVEN_AFTER_S, few)
    assert not is_refuted(PROVEN_AFTER_S - 0.1, few)
    assert is_refuted(0.1, many)
    assert not is_refuted(0.1, replace(many, handled=1))
    assert not is_refuted(PROVEN_AFTER_S, None)


def test_a_task_that_was_parked_without_being_run_proves_nothing() -> None:
    parked = Reading(1, WorkerState.RUNNING, failed=1, parked=1, given_up=1)
    assert not is_proven(0.0, parked)
    assert is_proven(0.0, replace(parked, handled=1))


STUCK = Condemned("is stuck", 1.0, 2.0)
SIGKILL = 9


@pytest.mark.parametrize(
    ("slot", "status", "cause"),
    [
        (Slot(SlotState.RUNNING), SIGKILL, Cause.CRASHED),
        (Slot(SlotState.RUNNING), 3 << 8, Cause.CRASHED),
        (Slot(SlotState.RUNNING), None, Cause.CRASHED),
        (Slot(SlotState.RUNNING), WorkerExit.RECYCLE << 8, Cause.RECYCLED),
        (Slot(SlotState.RUNNING), WorkerExit.FINISHED << 8, Cause.FINISHED),
        (Slot(SlotState.STARTING), WorkerExit.SOURCE_REFUSED << 8, Cause.REFUSED),
        (Slot(SlotState.DRAINING), 0, Cause.ASKED),
        (Slot(SlotState.DRAINING, is_worn=True), 0, Cause.RECYCLED),
        (Slot(SlotState.DRAINING, is_killed=True), SIGKILL, Cause.KILLED),
        (Slot(SlotState.STALLED, condemned=STUCK, is_killed=True), SIGKILL, Cause.KILLED),
        (Slot(SlotState.RUNNING, condemned=replace(STUCK, is_asked=True), is_killed=True), SIGKILL, Cause.ASKED),
    ],
)
def test_an_end_has_a_cause(slot: Slot, status: int | None, cause: Cause) -> None:
    assert cause_of(slot, status, is_out_of_memory=False) is cause
    assert cause_of(slot, status, is_out_of_memory=True) is Cause.OUT_OF_MEMORY
