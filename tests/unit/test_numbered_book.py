"""The checker of the books must see what it is there for."""

from __future__ import annotations

from integration.scenarios.numbered_book import complaints, read_runs, repeated


def book(*lines: str) -> list[str]:
    """`begin 1 100 5` from `b 1 100 5`."""
    return [line.replace("b ", "begin ", 1).replace("e ", "end ", 1) for line in lines]


def said(*lines: str, killed: tuple[int, ...] = (), frozen: tuple[int, ...] = (), most_repeats: int = 1) -> list[str]:
    runs = read_runs(book(*lines))
    return list(complaints(runs, {1, 2}, killed=killed, frozen=frozen, most_repeats=most_repeats))


BOTH = ("b 1 100 10", "e 1 100 20", "b 2 100 30", "e 2 100 40")


def test_each_row_once_is_well() -> None:
    assert said(*BOTH) == []
    assert repeated(read_runs(book(*BOTH))) == 0


def test_a_row_that_is_missing_or_was_only_begun_is_lost() -> None:
    assert said("b 1 100 10", "e 1 100 20") == ["row 2 was never handled"]
    assert said(*BOTH[:3], killed=(100,)) == ["row 2 was never handled"]


def test_a_row_that_comes_again_needs_a_reason() -> None:
    again = (*BOTH, "b 2 101 50", "e 2 101 60")
    assert said(*again) == ["row 2 came again after 100, to which nothing had been done"]
    assert said(*again, killed=(101,)) == ["row 2 came again after 100, to which nothing had been done"]
    assert said(*again, killed=(100,)) == []
    assert said(*again, frozen=(100,)) == []
    assert repeated(read_runs(book(*again))) == 1


def test_a_killed_process_has_no_more_repeats_than_it_may() -> None:
    again = (*BOTH, "b 1 101 50", "e 1 101 60", "b 2 101 70", "e 2 101 80")
    assert said(*again, killed=(100,)) == ["2 rows of 100 came again, and 1 may"]
    assert said(*again, killed=(100,), most_repeats=2) == []


def test_what_a_process_had_only_begun_is_no_repeat() -> None:
    again = ("b 1 100 10", "b 1 101 30", "e 1 101 40", *BOTH[2:])
    assert said(*again, killed=(100,), most_repeats=0) == []


def test_two_at_once_are_wrong_unless_one_was_frozen() -> None:
    overlap = ("b 1 100 10", "b 1 101 15", "e 1 101 25", "e 1 100 30", *BOTH[2:])
    assert said(*overlap, killed=(100,)) == ["row 1 was handled by 100 and 101 at once"]
    assert said(*overlap, frozen=(100,)) == []


def test_one_that_was_frozen_before_it_could_write_that_it_begins_has_its_row_again() -> None:
    again = (*BOTH, "b 2 101 50", "e 2 101 60")
    assert said(*again, frozen=(101,)) == []
    assert said(*again, frozen=(101,), most_repeats=0) == ["1 rows of 101 came again, and 0 may"]
    assert said("b 1 100 10", "b 1 101 15", "e 1 100 20", "e 1 101 30", *BOTH[2:], frozen=(101,)) == []


def test_a_row_that_nobody_made_is_told() -> None:
    assert said(*BOTH, "b 3 100 50", "e 3 100 60") == ["row 3 is nobody's"]


def test_a_line_that_a_kill_has_torn_is_as_if_it_had_not_been_written() -> None:
    assert said(*BOTH, "b 1 101begin 1 102 50", "e 1 102 60", killed=(100, 101)) == []
