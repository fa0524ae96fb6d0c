"""What single pages ask the master is asked for all who look at them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from consumerd.dashboard.shared import FRESH_S, MOST_KEPT, Shared
from consumerd.errors import NotRunningError
from consumerd.testing.clock import ManualClock
from consumerd.verbs.destinations import ShowDestinations
from consumerd.verbs.reload import ShowConfiguration
from consumerd.wire.method import Method
from unit.dashboard.test_threads import held

DEADLINE_S = 10.0


class Master:
    """Answers with how many questions there were."""

    def __init__(self) -> None:
        self.asked: list[Method] = []
        self.is_away = False

    def __call__(self, method: Method) -> int:
        self.asked.append(method)
        if self.is_away:
            raise NotRunningError("no master answers")
        return len(self.asked)


def test_who_asks_the_same_within_a_second_gets_the_same() -> None:
    clock, master = ManualClock(), Master()
    shared = Shared(master, clock)
    assert [shared.answer(ShowDestinations()) for _ in range(20)] == [1] * 20
    assert shared.answer(ShowDestinations("shop")) == 2
    clock.advance(FRESH_S)
    assert shared.answer(ShowDestinations()) == 3
    shared.forget()
    assert shared.answer(ShowDestinations()) == 4


def test_who_asks_while_the_master_is_asked_waits_for_that_answer() -> None:
    master = Master()
    with held() as going_on, ThreadPoolExecutor(8) as threads:

        def slowly(method: Method) -> int:
            going_on.wait(DEADLINE_S)
            return master(method)

        shared = Shared(slowly)
        answers = [threads.submit(shared.answer, ShowDestinations()) for _ in range(8)]
        going_on.set()
        assert [each.result(DEADLINE_S) for each in answers] == [1] * 8


def test_what_is_kept_is_asked_again_when_it_is_of_something_else() -> None:
    clock, master = ManualClock(), Master()
    shared = Shared(master, clock)
    for edition in (1, 2):
        assert [shared.kept(ShowConfiguration("shop/mails"), edition) for _ in range(3)] == [edition] * 3
        clock.advance(1_000.0)
    for number in range(MOST_KEPT):
        shared.answer(ShowDestinations(str(number)))
    assert shared.kept(ShowConfiguration("shop/mails"), 2) == 3 + MOST_KEPT


@pytest.mark.parametrize("is_kept", [False, True])
def test_an_error_is_shared_for_a_second_and_no_longer(*, is_kept: bool) -> None:
    clock, master = ManualClock(), Master()
    shared = Shared(master, clock)
    ask = (lambda: shared.kept(ShowDestinations(), 1)) if is_kept else (lambda: shared.answer(ShowDestinations()))
    master.is_away = True
    for _ in range(3):
        with pytest.raises(NotRunningError):
            ask()
    master.is_away = False
    clock.advance(FRESH_S)
    assert ask() == 2
