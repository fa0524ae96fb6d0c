import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.testing.clock import ManualClock
from consumerd.wire.shared_table import HELD, NEVER, SETS, WAYS, SharedTable


@pytest.fixture
def table() -> SharedTable:
    made = SharedTable.create(ManualClock())
    made.admit(2)
    return made


def holder(table: SharedTable, number: int) -> SharedTable:
    return SharedTable(table.fileno(), number, ManualClock())


def hold(table: SharedTable, name: str, more: int) -> int:
    """Hold so much more in a row; how much all hold then."""
    with table.changing(name) as row:
        assert row is not None
        row.own[HELD] += more
        return sum(row.of_all(HELD))


def test_what_is_held_is_summed_over_all_holders_and_a_holder_that_is_gone_holds_nothing(table: SharedTable) -> None:
    first, second = holder(table, 0), holder(table, 2)
    assert [hold(first, "a", 2), hold(second, "a", 3), hold(second, "b", 1)] == [2, 5, 1]
    table.forget(2)
    assert {row.name: sum(row.of_all(HELD)) for row in table.rows()} == {"a": 2, "b": 0}


def test_shared_words_stay_until_the_row_is_idle_and_its_place_is_needed(table: SharedTable) -> None:
    with table.changing("a") as row:
        assert row is not None
        row.words[3] = 7
        row.idle_from(NEVER)
    with table.changing("a") as row:
        assert row is not None
        assert (row.name, row.words[3]) == ("a", 7)


def names_of_one_set(count: int) -> list[str]:
    from consumerd.wire.shared_table import _place

    return [name for name in map(str, range(SETS * count * 4)) if _place(name)[1] == 0][:count]


def test_a_name_that_finds_no_place_is_told_so_and_one_that_is_idle_makes_room(table: SharedTable) -> None:
    *names, late = names_of_one_set(WAYS + 1)
    for name in names:
        hold(table, name, 1)
    with table.changing(late) as row:
        assert row is None
    assert table.times_full == 1
    hold(table, names[5], -1)
    with table.changing(late) as row:
        assert row is not None
        assert (row.name, list(row.words)) == (late, [0] * 14)


def test_neither_destinations_nor_limits_can_take_all_places(table: SharedTable) -> None:
    for kind, other in (("limit", "destination"), ("destination", "limit")):
        for number in range(3 * WAYS * SETS):
            with table.changing(f"{kind} {number}") as row:
                if row is not None:
                    row.idle_from(NEVER)
        with table.changing(f"{other} late") as row:
            assert row is not None, kind
            row.idle_from(0)
        for row in table.rows():
            row.idle_from(0)


def test_a_long_name_is_cut_in_its_text_alone(table: SharedTable) -> None:
    long = "channel/" + "ü" * 300
    assert [hold(table, long + "1", 1), hold(table, long + "2", 1)] == [1, 1]
    assert all(long.startswith(row.name.rstrip("\ufffd")) for row in table.rows())


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcd"), st.integers(0, 3)), max_size=30))
def test_it_holds_what_a_plain_table_would(steps: list[tuple[int, str, int]]) -> None:
    table = SharedTable.create(ManualClock())
    table.admit(2)
    held: dict[tuple[str, int], int] = {}
    for number, name, more in steps:
        if more:
            hold(holder(table, number), name, more)
            held[name, number] = held.get((name, number), 0) + more
        else:
            table.forget(number)
            held = {key: value for key, value in held.items() if key[1] != number}
    found = {(row.name, number): count for row in table.rows() for number, count in enumerate(row.of_all(HELD))}
    assert {key: count for key, count in found.items() if count} == held
    os.close(table.fileno())


def test_another_process_is_kept_out_while_a_row_changes_and_let_in_when_its_holder_dies() -> None:
    table = SharedTable.create()
    locked, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        with SharedTable(table.fileno(), 1).changing("a"):
            os.write(release, b"x")
            signal.pause()
    assert os.read(locked, 1) == b"x"
    with table.changing("a") as row:
        assert row is None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with table.changing("a") as row:
        assert row is not None
