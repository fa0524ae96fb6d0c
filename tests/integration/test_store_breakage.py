"""The embedded parking store while real things break: processes killed and stopped, a full disk, a file taken away."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from consumerd.clock import monotonic
from consumerd.database.holders import STOPPED_LIMIT_S
from consumerd.errors import StoreAwayError
from consumerd.parking.opening import open_store, open_store_thread
from consumerd.parking.store import ParkingStore
from contracts.parking_store import CONSUMER, parked_task, rows
from integration.scenarios.parked_writers import TASKS_A_WRITER
from integration.scenarios.running import environment
from integration.scenarios.store_away import CannotTakeAwayError, Thief, full, held, read_only, replaced
from servers.environment import is_ci
from servers.waiting import wait_until

WRITERS = 64
END_S = 60.0
FILLING = b"x" * 400_000

Way = Callable[[Path], AbstractContextManager[Thief]]


@contextmanager
def writers(mode: str, folder: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "integration.scenarios.parked_writers", mode, str(folder), *more]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process inside a transaction, with the lock."""
    with writers("hold", folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        yield process


@pytest.fixture
def store(state_dir: Path) -> Iterator[ParkingStore]:
    store = open_store(None, state_dir)
    yield store
    store.close()


def is_parked(store: ParkingStore) -> bool:
    try:
        store.park([parked_task(1)])
    except StoreAwayError:
        return False
    return True


def test_64_processes_open_an_empty_store_at_once_and_all_of_them_park(store: ParkingStore, state_dir: Path) -> None:
    with writers("many", state_dir, str(WRITERS)) as process:
        assert process.wait(END_S) == 0
    assert store.parked_count(CONSUMER)[0] == WRITERS * TASKS_A_WRITER


def test_a_holder_killed_inside_its_transaction_holds_nobody_up(store: ParkingStore, state_dir: Path) -> None:
    with holder(state_dir) as process:
        process.kill()
        process.wait(END_S)
        store.park([parked_task(1)])
    assert [row["offset"] for row in rows(store)] == [1]


def test_a_holder_that_was_stopped_is_killed_and_its_transaction_is_undone(
    store: ParkingStore, state_dir: Path
) -> None:
    with holder(state_dir) as process:
        process.send_signal(signal.SIGSTOP)
        stopped_at = monotonic()
        with pytest.raises(StoreAwayError, match="has held"):
            store.park([parked_task(1)])
        assert process.poll() is None
        wait_until(lambda: is_parked(store), END_S, "a stopped holder was not killed")
        assert monotonic() - stopped_at >= STOPPED_LIMIT_S
        assert process.wait(END_S) == -signal.SIGKILL
    assert [row["offset"] for row in rows(store)] == [1]


def test_a_holder_that_runs_is_not_killed_however_long_it_holds(store: ParkingStore, state_dir: Path) -> None:
    with holder(state_dir) as process:
        until = monotonic() + STOPPED_LIMIT_S + 2
        wait_until(lambda: not is_parked(store) and monotonic() > until, END_S, "the store was not held")
        assert process.poll() is None


def test_a_caller_waits_no_longer_than_it_said(state_dir: Path) -> None:
    thread = open_store_thread(None, state_dir)
    with holder(state_dir):
        asked_at = time.monotonic()
        with pytest.raises(StoreAwayError):
            thread.call(lambda store: store.park([parked_task(1)]), 0.2)
        assert time.monotonic() - asked_at < END_S
    wait_until(lambda: not thread.is_stuck, END_S, "the thread stayed stuck")
    thread.call(lambda store: store.park([parked_task(1)]))
    thread.close(monotonic() + END_S)


@pytest.mark.parametrize(
    ("way", "cause"),
    [
        pytest.param(full, "is full: free some space", id="disk-full"),
        pytest.param(read_only, "see (who may write there|that its folder is there)", id="read-only"),
        pytest.param(replaced, "removed or replaced|unable to open database file", id="replaced-by-a-folder"),
        pytest.param(held, "is locked: find the process that holds it", id="held-by-a-stranger"),
    ],
)
def test_a_store_that_was_taken_away_says_why_and_works_again_when_it_is_back(
    state_dir: Path, way: Way, cause: str
) -> None:
    with ExitStack() as stack:
        try:
            thief = stack.enter_context(way(state_dir))
        except CannotTakeAwayError as error:
            if is_ci():
                raise
            pytest.skip(str(error))
        store = open_store(None, state_dir)
        stack.callback(store.close)
        store.park([parked_task(1)])
        thief.take()
        for number in (2, 3):
            with pytest.raises(StoreAwayError, match=cause):
                park_much(store, number)
        thief.give_back()
        park_much(store, 4)
        assert {1, 4} <= {row["offset"] for row in rows(store)}


def park_much(store: ParkingStore, number: int) -> None:
    """More than any free page of the file has room for."""
    from dataclasses import replace

    store.park([replace(parked_task(number), payload=FILLING)])
