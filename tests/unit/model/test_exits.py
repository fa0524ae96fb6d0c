"""Ends in words, every one of them."""

from __future__ import annotations

import signal

import pytest

from consumerd.model.exits import WorkerExit, described, exit_code, worker_described


@pytest.mark.parametrize("number", range(1, signal.NSIG))
def test_every_signal_has_words_also_those_without_a_name(number: int) -> None:
    assert exit_code(number) == -number
    assert described(number) == worker_described(number)
    assert described(number).startswith(("SIG", f"signal {number}"))


def test_an_exit_code_has_a_meaning_where_it_is_a_workers() -> None:
    finished = WorkerExit.FINISHED << 8
    assert (described(finished), worker_described(finished)) == (f"exit {int(WorkerExit.FINISHED)}", "finished")
    assert described(77 << 8) == worker_described(77 << 8) == "exit 77"


def test_an_end_that_nobody_could_read_is_unknown() -> None:
    assert exit_code(None) is None
    assert described(None) == worker_described(None) == "unknown"
