"""The store thread: who waits how long, and what becomes of what comes late."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumerd.clock import monotonic
from consumerd.database.claims import Lease
from consumerd.errors import StoreAwayError
from consumerd.parking.opening import open_store, open_store_thread
from consumerd.parking.store import ParkingStore
from consumerd.parking.thread import StoreThread
from contracts.parking_store import CONSUMER, parked_task

LONG_S = 30.0
LEASE = Lease("m#1", 60.0)


@pytest.fixture
def thread(state_dir: Path) -> Iterator[StoreThread]:
    thread = open_store_thread(None, state_dir)
    yield thread
    thread.close(monotonic() + LONG_S)


class Gate:
    """A step that says when it begins, and ends when it is let."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self, store: ParkingStore) -> str:
        self.began.set()
        assert self.may_end.wait(LONG_S)
        return "late"


def give_up(
    thread: StoreThread,
    gate: Gate,
    function: Callable[[ParkingStore], object] | None = None,
    undo: Callable[[ParkingStore, object], object] | None = None,
) -> None:
    """Call `function`, or else the gate, and give up while it runs. One that had not begun is dropped."""
    while not gate.began.is_set():
        with pytest.raises(StoreAwayError, match=r"has not answered for|does not answer"):
            thread.call(function or gate, 0.01, undo=undo)


def test_a_call_returns_what_the_function_returns(thread: StoreThread) -> None:
    thread.call(lambda store: store.park([parked_task()]))
    assert thread.call(lambda store: store.parked_count(CONSUMER)[0]) == 1


def test_a_call_raises_what_the_function_raises(thread: StoreThread) -> None:
    with pytest.raises(KeyError, match="nothing"):
        thread.call(lambda store: {}["nothing"])
    assert thread.call(lambda store: 5) == 5


def test_all_calls_run_in_one_thread_that_starts_with_the_first(state_dir: Path) -> None:
    before = threading.active_count()
    thread = open_store_thread(None, state_dir)
    assert threading.active_count() == before
    names = {thread.call(lambda store: threading.current_thread().name) for _ in range(3)}
    assert names == {"consumerd-store"}
    thread.close(monotonic() + LONG_S)
    assert threading.active_count() == before


def test_who_waits_too_long_is_told_and_so_is_the_next_at_once(thread: StoreThread) -> None:
    gate = Gate()
    give_up(thread, gate)
    assert thread.is_stuck
    with pytest.raises(StoreAwayError, match="does not answer"):
        thread.call(lambda store: 1, LONG_S)
    gate.may_end.set()


def test_who_asks_for_much_waits_for_each_step_of_it(thread: StoreThread) -> None:
    patience_s = 0.5

    def take_steps(store: ParkingStore) -> str:
        end = monotonic() + 2 * patience_s
        while monotonic() < end:
            store.on_step()
        return "all of it"

    assert thread.call(take_steps, patience_s) == "all of it"


def test_the_store_is_back_when_the_late_call_has_ended(thread: StoreThread) -> None:
    gate, undone = Gate(), threading.Event()
    give_up(thread, gate, undo=lambda store, result: undone.set())
    gate.may_end.set()
    assert undone.wait(LONG_S)
    while thread.is_stuck:
        pass
    assert thread.call(lambda store: 7) == 7


def test_who_asks_while_the_store_is_away_waits_only_moments(thread: StoreThread) -> None:
    def is_away(store: ParkingStore) -> None:
        raise StoreAwayError("the disk is full")

    with pytest.raises(StoreAwayError, match="the disk is full"):
        thread.call(is_away)
    gate = Gate()
    with pytest.raises(StoreAwayError, match=r"has not answered for 0\.1 s"):
        thread.call(gate)
    gate.may_end.set()


def test_who_asks_after_a_late_call_has_succeeded_waits_as_long_as_ever(thread: StoreThread) -> None:
    first, second = Gate(), Gate()
    thread.call(lambda store: 1)
    give_up(thread, first)
    first.may_end.set()
    while thread.is_stuck:
        threading.Event().wait(0.001)
    threading.Timer(0.3, second.may_end.set).start()
    assert thread.call(second) == "late"


def test_a_claim_that_comes_late_is_released(thread: StoreThread) -> None:
    gate = Gate()

    def claim(store: ParkingStore) -> object:
        gate(store)
        return store.claim_due(CONSUMER, 1, LEASE)

    thread.call(lambda store: store.park([parked_task()]))
    give_up(thread, gate, claim, undo=lambda store, claimed: store.release(LEASE.owner))
    gate.may_end.set()
    while thread.is_stuck:
        pass
    assert thread.call(lambda store: len(store.claim_due(CONSUMER, 1, LEASE))) == 1


def test_a_call_that_was_given_up_before_it_began_never_runs(thread: StoreThread) -> None:
    gate, ran = Gate(), threading.Event()
    first = threading.Thread(target=lambda: thread.call(gate, LONG_S))
    first.start()
    assert gate.began.wait(LONG_S)
    with pytest.raises(StoreAwayError):
        thread.call(lambda store: ran.set(), 0.01)
    gate.may_end.set()
    first.join(LONG_S)
    assert thread.call(lambda store: 1) == 1
    assert not ran.is_set()


def test_a_closed_thread_runs_what_was_asked_and_refuses_more(thread: StoreThread) -> None:
    thread.call(lambda store: store.park([parked_task()]))
    thread.close(monotonic() + LONG_S)
    with pytest.raises(StoreAwayError, match="closed"):
        thread.call(lambda store: 1)


def test_closing_gives_up_at_its_deadline(state_dir: Path) -> None:
    thread, gate = open_store_thread(None, state_dir), Gate()
    give_up(thread, gate)
    thread.close(monotonic() + 0.01)
    gate.may_end.set()
    thread.close(monotonic() + LONG_S)


def wait_until_ended() -> None:
    """Wait until an error has ended the thread."""
    end = monotonic() + LONG_S
    while any(each.name == "consumerd-store" for each in threading.enumerate()):
        assert monotonic() < end


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_an_error_has_ended_is_begun_anew(state_dir: Path) -> None:
    errors = [OSError("the first store cannot be made")]

    def open_or_raise() -> ParkingStore:
        if errors:
            raise errors.pop()
        return open_store(None, state_dir)

    thread = StoreThread(open_or_raise, lambda consumer: False)
    with pytest.raises(StoreAwayError):
        thread.call(lambda store: 1, 0.01)
    wait_until_ended()
    assert thread.call(lambda store: 2, LONG_S) == 2
    thread.close(monotonic() + LONG_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_while_it_was_stuck_is_begun_anew(thread: StoreThread) -> None:
    gate = Gate()
    give_up(thread, gate, undo=lambda store, result: {}["nothing"])
    gate.may_end.set()
    wait_until_ended()
    assert thread.call(lambda store: 2, LONG_S) == 2


def test_a_thread_that_was_never_used_closes(state_dir: Path) -> None:
    open_store_thread(None, state_dir).close(monotonic())
    assert list(state_dir.iterdir()) == []
