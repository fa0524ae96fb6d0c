"""Whom the demo kills, and when it is over."""

from dataclasses import replace

import pytest

from consumerd.demo.progress import Kill, Progress, choose_victim, with_replacement
from consumerd.demo.snapshot import Snapshot, WorkerSight, parse_status
from consumerd.errors import WireError

IDLE = WorkerSight(0, 10, 1, "running", None, handled=900, failed=0, parked=0)
BUSY = WorkerSight(1, 11, 1, "running", 5, handled=100, failed=0, parked=0)
BUSIEST = WorkerSight(2, 12, 1, "running", 0, handled=200, failed=0, parked=0)
GONE = WorkerSight(3, None, 1, "backing_off", None, handled=0, failed=0, parked=0)
HALF_WAY = Progress(3.0, 100, done=50, parked=0, pending=50, snapshot=Snapshot((IDLE, BUSY, BUSIEST, GONE)))
KILL = Kill(slot=2, pid=12, generation=1, at_s=3.0)


def test_half_way_the_busiest_worker_with_a_task_in_its_hands_is_killed() -> None:
    assert choose_victim(HALF_WAY) == BUSIEST


@pytest.mark.parametrize(
    "progress",
    [
        replace(HALF_WAY, done=49),
        replace(HALF_WAY, kill=KILL),
        replace(HALF_WAY, snapshot=None),
        replace(HALF_WAY, snapshot=Snapshot((IDLE, GONE))),
    ],
    ids=["before half-way", "a second time", "while the master does not answer", "when nobody has a task"],
)
def test_nobody_is_killed(progress: Progress) -> None:
    assert choose_victim(progress) is None


def test_the_replacement_is_the_next_generation_running_in_the_slot() -> None:
    running = replace(BUSIEST, pid=99, generation=2)
    assert with_replacement(KILL, Snapshot((running,)), 3.5) == replace(KILL, replaced_by=99, after_s=0.5)


@pytest.mark.parametrize(
    "snapshot",
    [
        None,
        Snapshot(()),
        Snapshot((BUSIEST,)),
        Snapshot((replace(BUSIEST, generation=2, state="starting"),)),
        Snapshot((replace(BUSIEST, slot=1, generation=2),)),
    ],
    ids=["no answer", "no workers", "still the killed one", "not running yet", "another slot"],
)
def test_until_then_there_is_none(snapshot: Snapshot | None) -> None:
    assert with_replacement(KILL, snapshot, 3.5) == KILL


def test_it_is_over_when_nothing_is_pending_and_the_killed_worker_is_replaced() -> None:
    done = replace(HALF_WAY, done=100, pending=0)
    assert done.is_finished
    assert not replace(done, pending=1).is_finished
    assert not replace(done, kill=KILL).is_finished
    assert replace(done, kill=replace(KILL, replaced_by=99)).is_finished


def test_the_status_of_the_master_is_parsed() -> None:
    slot = {"slot": 0, "state": "backing_off", "pid": None, "generation": 3}
    busy = {
        "slot": 1,
        "state": "running",
        "pid": 7,
        "generation": 1,
        "handled": 5,
        "failed": 2,
        "parked": 1,
        "offset": 0,
    }
    document = {"problems": ["a problem"], "pools": [{"name": "demo/logins", "state": "up", "workers": [slot, busy]}]}
    snapshot = parse_status(document)
    assert snapshot == Snapshot(
        workers=(
            WorkerSight(0, None, 3, "backing_off", None, handled=0, failed=0, parked=0),
            WorkerSight(1, 7, 1, "running", 0, handled=5, failed=2, parked=1),
        ),
        problems=("a problem",),
    )
    assert [worker.is_busy for worker in snapshot.workers] == [False, True]


@pytest.mark.parametrize("document", [None, [], {}, {"pools": []}, {"pools": [{"state": "up", "workers": [{}]}]}])
def test_a_status_of_another_shape_is_refused(document: object) -> None:
    with pytest.raises(WireError, match="another shape"):
        parse_status(document)
