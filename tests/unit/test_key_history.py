"""The checker of histories must see what it is there for."""

from __future__ import annotations

from integration.scenarios.key_history import complaints, read_runs, repeated

WELL = (
    *("begin 7 0 100 10", "begin 8 0 100 11", "failed 7 0 100 20", "begin 7 0 100 30", "done 7 0 100 40"),
    *("dead 8 0 100 50", "begin 7 1 200 60", "done 7 1 200 70"),
)


def said(*lines: str, killed: dict[int, int] | None = None) -> list[str]:
    return list(complaints(read_runs(lines), {7: 2, 8: 1}, killed or {}))


def without(line: str) -> tuple[str, ...]:
    return tuple(other for other in WELL if other != line)


def test_one_at_a_time_and_in_order_is_well() -> None:
    assert said(*WELL) == []


def test_what_was_only_begun_is_lost() -> None:
    assert said(*without("done 7 1 200 70"), killed={200: 65}) == ["key 7: task 1 was never finished"]


def test_two_of_a_key_at_once_are_seen() -> None:
    lines = [line.replace("begin 7 1 200 60", "begin 7 1 200 35") for line in WELL]
    assert "key 7: task 1 of 200 ran beside task 0 of 100" in said(*lines)


def test_a_task_that_overtakes_a_failed_one_is_seen() -> None:
    lines = ("begin 7 0 1 10", "failed 7 0 1 20", "begin 7 1 1 30", "done 7 1 1 40", "begin 7 0 1 50", "done 7 0 1 60")
    assert said(*lines, "begin 8 0 1 1", "done 8 0 1 2") == ["key 7: task 1 was begun where task 0 was next"]


def test_repeats_are_in_order_too_and_those_without_a_kill_are_counted() -> None:
    again = ("begin 7 0 300 80", "done 7 0 300 90", "begin 7 1 300 100", "done 7 1 300 110")
    assert said(*WELL, *again) == []
    assert repeated(read_runs([*WELL, *again])) == 2
    assert repeated(read_runs([*WELL, *again]), killed={100}) == 1


def test_what_is_parked_is_skipped_where_it_comes_again() -> None:
    lines = ("begin 7 0 1 1", "done 7 0 1 2", "begin 7 1 1 3", "dead 7 1 1 4", "begin 7 2 1 5")
    again = ("begin 7 0 2 20", "done 7 0 2 21", "begin 7 2 2 22", "done 7 2 2 23", "begin 8 0 1 1", "done 8 0 1 2")
    assert said(*lines, *again, killed={1: 10}) == []


def test_what_a_killed_worker_ran_counts_until_it_was_killed() -> None:
    lines = (*WELL, "begin 7 1 300 80", "begin 7 1 400 90", "done 7 1 400 95")
    killed = {200: 75, 300: 92}
    assert said(*lines, killed=killed) == ["key 7: task 1 of 400 ran beside task 1 of 300"]
    assert said(*lines, killed=killed | {300: 89}) == []


def test_an_end_that_is_missing_without_a_kill_is_seen() -> None:
    lines = without("failed 7 0 100 20")
    assert said(*lines) == ["key 7: task 0 was begun by 100, which nobody killed, and has no end"]
