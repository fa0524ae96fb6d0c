"""Which task may start next: against a plain list of what was seen."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from consumerd.worker.window.lineup import Lineup

SOON, LATER = 1.0, 2.0


@dataclass(eq=False)
class Item:
    number: int
    key: str | None


def items(*keys: str | None) -> list[Item]:
    return [Item(number, key) for number, key in enumerate(keys)]


def lineup_of(*keys: str | None) -> Lineup[Item]:
    lineup: Lineup[Item] = Lineup()
    for item in items(*keys):
        lineup.add(item)
    return lineup


def taken(lineup: Lineup[Item], now: float = 0.0) -> list[Item]:
    found = []
    while (item := lineup.next(now)) is not None:
        found.append(item)
    return found


def test_what_has_no_key_waits_for_nobody() -> None:
    assert [item.number for item in taken(lineup_of(None, None, None))] == [0, 1, 2]


def test_a_key_belongs_to_one_item_until_it_ends() -> None:
    lineup = lineup_of("a", "a", "b", None)
    first, other, free = taken(lineup)
    assert (first.number, other.number, free.number) == (0, 2, 3)
    lineup.end(other)
    assert taken(lineup) == []
    lineup.end(first)
    assert [item.number for item in taken(lineup)] == [1]


def test_an_item_that_waits_keeps_its_key_and_comes_before_what_is_ready() -> None:
    lineup = lineup_of("a", "a", "b")
    first, other = taken(lineup)
    lineup.again(first, SOON)
    lineup.end(other)
    assert (lineup.next(0.0), lineup.next_at, lineup.ready) == (None, SOON, 0)
    assert taken(lineup, LATER) == [first]


def test_what_is_dropped_hands_its_key_on() -> None:
    lineup = lineup_of("a", "a", "a", "b")
    assert {item.number for item in lineup.drop(lambda item: item.number in (0, 1, 3))} == {0, 1, 3}
    assert [item.number for item in taken(lineup)] == [2]


def test_a_gate_lets_its_items_through_one_by_one_in_their_order() -> None:
    lineup = lineup_of("a", "a", None, None)
    first, second, third = taken(lineup)
    for item in (first, second, third):
        lineup.hold(item, "gate", SOON)
    assert (taken(lineup), lineup.held_at("gate"), lineup.next_at) == ([], 3, SOON)
    assert lineup.next(SOON) is first
    assert not lineup.is_held("gate", first)
    lineup.hold(first, "gate", LATER)
    assert (lineup.next(SOON), lineup.next_at) == (None, LATER)
    lineup.wake("gate")
    assert lineup.next(0.0) is first
    assert lineup.is_held("gate", Item(9, None))
    assert taken(lineup, SOON) == [second, third]
    assert lineup.held_at("gate") == 0


def test_an_item_that_comes_from_another_gate_goes_before_those_that_came_after_it() -> None:
    lineup = lineup_of(None, None, None)
    first, second, third = taken(lineup)
    lineup.hold(first, "channel", LATER)
    lineup.hold(second, "total", SOON)
    lineup.hold(third, "total", SOON)
    assert lineup.next(LATER) is second
    lineup.hold(second, "total", LATER)
    assert lineup.next(LATER) is first
    assert not lineup.is_held("total", first)
    lineup.hold(first, "total", LATER)
    assert taken(lineup, LATER) == [first, second, third]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["a", "b", "c", None])),
        st.tuples(st.sampled_from(["next", "end", "again", "hold", "wake", "drop"]), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(STEPS)
def test_two_of_a_key_never_run_at_once_and_none_is_lost_or_overtaken(steps: list[tuple[str, object]]) -> None:
    lineup: Lineup[Item] = Lineup()
    inside: list[Item] = []
    running: list[Item] = []
    begun: set[int] = set()
    gates: dict[int, int] = {}
    number, now = 0, 0.0
    for step, what in steps:
        if step == "add":
            item = Item(number, what if isinstance(what, str) else None)
            number += 1
            lineup.add(item)
            inside.append(item)
            continue
        assert isinstance(what, int)
        if step == "drop":
            dropped = lineup.drop(lambda item, modulo=what: item.number % 6 == modulo)  # type: ignore[misc]
            assert {*dropped} == {item for item in inside if item.number % 6 == what and item not in running}
            inside = [item for item in inside if item not in dropped]
            continue
        if step == "next":
            now += 1.0
            if (item := lineup.next(now)) is None:
                keys = {item.key for item in (*running, *(other for other in inside if other.number in gates))} - {None}
                assert all(item in running or item.number in gates or item.key in keys for item in inside)
                continue
            gates.pop(item.number, None)
            if item.key is not None:
                assert item.key not in {other.key for other in running}
                older = [other for other in inside if other.key == item.key and other.number < item.number]
                assert older == []
            begun.add(item.number)
            running.append(item)
        elif step == "wake":
            lineup.wake(what)
        elif running:
            item = running.pop(what % len(running))
            if step == "again":
                lineup.again(item, now)
            elif step == "hold":
                gates[item.number] = what
                lineup.hold(item, what, now + what)
            else:
                lineup.end(item)
                inside.remove(item)
