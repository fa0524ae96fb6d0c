"""What makes the loop look up."""

from __future__ import annotations

import threading

from consumerd.worker.tasks.interrupts import Interrupt, Interrupts


def test_nothing_set_is_nothing_taken() -> None:
    interrupts = Interrupts()
    assert interrupts.take() == frozenset()
    assert interrupts.cell == [False]


def test_reasons_are_taken_once_and_the_cell_is_cleared() -> None:
    interrupts = Interrupts()
    interrupts.set(Interrupt.STOP)
    interrupts.set(Interrupt.SETTLE_DUE)
    interrupts.set(Interrupt.STOP)
    assert interrupts.cell == [True]
    assert interrupts.take() == {Interrupt.STOP, Interrupt.SETTLE_DUE}
    assert interrupts.cell == [False]
    assert interrupts.take() == frozenset()


def test_an_interrupt_from_another_thread_ends_a_wait() -> None:
    interrupts = Interrupts()
    setter = threading.Timer(0.01, interrupts.set, [Interrupt.REVOKED])
    setter.start()
    interrupts.wait(60)  # the test's own timeout tells if it does not
    setter.join()
    assert interrupts.take() == {Interrupt.REVOKED}


def test_an_interrupt_set_before_the_wait_ends_it_too() -> None:
    interrupts = Interrupts()
    interrupts.set(Interrupt.STOP)
    interrupts.wait(60)
    assert interrupts.take() == {Interrupt.STOP}


def test_no_reason_is_lost_between_threads_that_set_and_a_loop_that_takes() -> None:
    interrupts = Interrupts()
    rounds = 2_000
    seen = 0
    answered = threading.Semaphore(0)

    def set_one_after_the_other() -> None:
        for _ in range(rounds):
            interrupts.set(Interrupt.SETTLE_DUE)
            answered.acquire(timeout=30)

    setter = threading.Thread(target=set_one_after_the_other)
    setter.start()
    while seen < rounds:
        interrupts.wait(30)
        if interrupts.take():
            seen += 1
            answered.release()
    setter.join()
    assert interrupts.take() == frozenset()
