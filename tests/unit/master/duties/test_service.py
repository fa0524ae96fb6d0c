"""What the service manager is told: to whom, when the master counts as started, and in which words."""

from __future__ import annotations

import pytest

from consumerd.master.duties.service import is_started, status_line
from consumerd.master.host.own_process import ServiceSocket
from consumerd.master.rules.observed import Observed, ObservedPool, Slot, WantedPool
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState

FIRST, SECOND = ConsumerName("g", "first"), ConsumerName("g", "second")


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, ServiceSocket()),
        ({"NOTIFY_SOCKET": ""}, ServiceSocket()),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, ServiceSocket()),
        ({"NOTIFY_SOCKET": "/run/n"}, ServiceSocket("/run/n")),
        ({"NOTIFY_SOCKET": "@abstract"}, ServiceSocket("@abstract")),
        ({"WATCHDOG_USEC": "500000"}, ServiceSocket()),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "500000"}, ServiceSocket("/n", 0.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, ServiceSocket("/n", 0.5)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, ServiceSocket("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, ServiceSocket("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, ServiceSocket("/n")),
    ],
)
def test_the_variables_name_the_socket_and_are_not_left_to_children(
    environ: dict[str, str], found: ServiceSocket
) -> None:
    environ = {**environ, "PATH": "/bin"}
    assert ServiceSocket.take_from(environ, 7) == found
    assert environ == {"PATH": "/bin"}


def both(first: PoolState, second: PoolState) -> Observed:
    return {FIRST: ObservedPool(first), SECOND: ObservedPool(second)}


@pytest.mark.parametrize(
    ("first", "second", "is_second_after", "is_it"),
    [
        (PoolState.LOADING, PoolState.UP, False, False),
        (PoolState.UP, PoolState.LOADING, False, False),
        (PoolState.UP, PoolState.FAILED, False, True),
        (PoolState.UP, PoolState.LOADING, True, True),
        (PoolState.LOADING, PoolState.LOADING, True, False),
        (PoolState.UP, PoolState.STOPPING, False, True),
    ],
)
def test_the_master_has_started_when_what_starts_at_once_is_up_or_has_failed(
    first: PoolState, second: PoolState, is_second_after: bool, is_it: bool
) -> None:
    after = frozenset({FIRST}) if is_second_after else frozenset[ConsumerName]()
    wanted = {FIRST: WantedPool(1, 1.0), SECOND: WantedPool(1, 1.0, after=after)}
    assert is_started(wanted, both(first, second)) == is_it


def test_a_pool_whose_predecessor_is_disabled_starts_at_once() -> None:
    wanted = {SECOND: WantedPool(1, 1.0, after=frozenset({FIRST}))}
    assert not is_started(wanted, {SECOND: ObservedPool(PoolState.LOADING)})
    assert is_started({}, {})


def test_one_line_says_how_things_are() -> None:
    wanted = {FIRST: WantedPool(2, 1.0), SECOND: WantedPool(1, 1.0)}
    slots = {0: Slot(SlotState.RUNNING), 1: Slot(SlotState.STARTING)}
    found = {FIRST: ObservedPool(PoolState.UP, slots=slots), SECOND: ObservedPool(PoolState.FAILED, slots={0: Slot()})}
    assert status_line(wanted, found) == "1 of 2 pools up, 1 of 3 workers running; failed: g/second"
