"""Which tasks go together, and when: against what was added and what time it was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.worker.window.gathering import Batching, Gathering, Keep


@dataclass(frozen=True)
class Item:
    number: int
    group: int = 0
    key: str | None = None


def gathering_of(batching: Batching, *added: tuple[float, Item]) -> Gathering[Item]:
    gathering: Gathering[Item] = Gathering(batching)
    for at, item in added:
        gathering.add(item, group=item.group, key=item.key, now=at)
    return gathering


def numbers(folds: Sequence[tuple[Item, tuple[Item, ...]]]) -> list[tuple[int, ...]]:
    """Of each that is handed out: its own number, and those for which it stands."""
    return [(item.number, *(other.number for other in others)) for item, others in folds]


def test_a_batch_goes_when_it_is_full_and_the_rest_when_it_has_lingered() -> None:
    gathering = gathering_of(Batching(2, linger_s=1.0), *((0.0, Item(number)) for number in range(3)))
    assert numbers(gathering.take(0.0)) == [(0,), (1,)]
    assert gathering.take(0.5) == []
    assert gathering.due_at(0.5) == 1.0
    assert numbers(gathering.take(1.0)) == [(2,)]
    assert not gathering


def test_groups_do_not_mix_and_the_oldest_goes_first() -> None:
    gathering = gathering_of(Batching(9), (0.0, Item(0, 1)), (0.1, Item(1, 2)), (0.2, Item(2, 1)))
    assert numbers(gathering.take(1.0)) == [(0,), (2,)]
    assert numbers(gathering.take(1.0)) == [(1,)]


@pytest.mark.parametrize(
    ("keep", "handed_out"), [("newest", [(2, 0), (1,)]), ("oldest", [(0, 2), (1,)]), ("all", [(0,), (2,), (1,)])]
)
def test_what_is_kept_of_a_key(keep: object, handed_out: list[tuple[int, ...]]) -> None:
    gathering = gathering_of(
        Batching(9, keep=keep),  # type: ignore[arg-type]  # of a list of cases
        *((0.0, Item(number, key="aba"[number])) for number in range(3)),
    )
    assert numbers(gathering.take(0.0)) == handed_out


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.sampled_from(["newest", "oldest", "all"]))
def test_the_newest_is_known_by_what_orders_them_and_of_equal_ones_by_when_they_came(
    orders: list[int], keep: Keep
) -> None:
    items = [Item(number, key="a") for number in range(len(orders))]
    batching = Batching(99, keep=keep, order_of=lambda item: orders[item.number])
    handed = numbers(gathering_of(batching, *((0.0, item) for item in items)).take(0.0))
    inorder = sorted(range(len(orders)), key=lambda number: orders[number])
    newest, oldest = (inorder[-1], *inorder[:-1]), (inorder[0], *inorder[1:])
    assert handed == {"newest": [newest], "oldest": [oldest], "all": [(each,) for each in inorder]}[keep]


def test_what_cannot_be_compared_is_the_newest() -> None:
    orders: list[object] = [2, "one", 1]
    batching = Batching(9, order_of=lambda item: orders[item.number])
    gathering = gathering_of(batching, *((0.0, Item(number, key="a")) for number in range(2)))
    assert numbers(gathering.take(0.0)) == [(1, 0)]


def test_a_key_with_more_items_than_a_batch_goes_in_several() -> None:
    gathering = gathering_of(Batching(2, keep="all"), *((0.0, Item(number, key="a")) for number in range(5)))
    assert [numbers(gathering.take(0.0)) for _ in range(3)] == [[(0,), (1,)], [(2,), (3,)], [(4,)]]


def test_a_key_that_changes_is_waited_for_but_not_for_ever() -> None:
    gathering = gathering_of(
        Batching(9, quiet_s=2.0, max_wait_s=5.0), *((float(at), Item(at, key="a")) for at in range(5))
    )
    gathering.add(Item(9, key="b"), group=0, key="b", now=4.0)
    assert gathering.take(4.9) == []
    assert numbers(gathering.take(5.0)) == [(4, 0, 1, 2, 3)]
    assert numbers(gathering.take(6.0)) == [(9,)]


def test_a_hurried_batch_waits_for_nothing() -> None:
    gathering = gathering_of(Batching(9, linger_s=1.0, max_wait_s=60.0), (0.0, Item(0, key="a")), (0.0, Item(1, 1)))
    assert numbers(gathering.take(0.0, is_hurried=True)) == [(0,)]
    assert numbers(gathering.take_group(1)) == [(1,)]
    assert (gathering.take_group(1), gathering.take(0.0, is_hurried=True)) == ([], [])


RULES = st.builds(
    Batching,
    st.integers(1, 4),
    linger_s=st.sampled_from([0.0, 1.0, 3.0]),
    keep=st.sampled_from(["newest", "oldest", "all"]),
    quiet_s=st.sampled_from([None, 0.0, 2.0]),
    max_wait_s=st.sampled_from([None, 4.0, 9.0]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 1), st.sampled_from([None, "a", "b"])),
        st.tuples(st.just("pass"), st.integers(1, 3), st.none()),
        st.tuples(st.sampled_from(["take", "hurry", "back"]), st.just(0), st.none()),
    ),
    max_size=60,
)


@given(RULES, STEPS)
def test_each_item_goes_once_in_order_and_in_time(batching: Batching, steps: list[tuple[str, int, str | None]]) -> None:
    gathering: Gathering[Item] = Gathering(batching)
    now, came, there = 0.0, dict[int, float](), dict[int, Item]()
    for step, number, key in steps:
        match step:
            case "add":
                item = Item(len(came), number, key)
                came[item.number], there[item.number] = now, item
                gathering.add(item, group=item.group, key=key, now=now)
            case "pass":
                now += number
            case "back":
                assert {item.number for item, _ in gathering.take_back()} == set(there)
                there.clear()
            case _:
                folds = gathering.take(now, is_hurried=step == "hurry")
                check_batch(batching, [(fold.item, fold.others) for fold in folds], there)
                assert folds or not (there and step == "hurry")
        assert bool(gathering) == bool(there)
        assert gathering.due_at(now) <= min(
            (came[item] + (batching.max_wait_s or 0.0) + batching.linger_s for item in there), default=math.inf
        )


def check_batch(batching: Batching, batch: list[tuple[Item, tuple[Item, ...]]], there: dict[int, Item]) -> None:
    """It is of one group and not too large; whoever stands for others is to be kept of all that there are."""
    assert len(batch) <= batching.size
    assert len({item.group for item, _ in batch}) <= 1
    for item, others in batch:
        together = sorted(each.number for each in (item, *others))
        assert all(there.pop(number) in (item, *others) for number in together)
        if batching.keep == "all" or item.key is None:
            assert not others
            continue
        assert item.number == together[-1 if batching.keep == "newest" else 0]
        assert {other.key for other in others} <= {item.key}
        assert not any(left.key == item.key and left.group == item.group for left in there.values())


def test_what_is_taken_back_and_comes_again_waits_no_longer_than_it_would_have() -> None:
    gathering = Gathering[str](Batching(size=10, quiet_s=5.0, max_wait_s=8.0))
    gathering.add("a", group=0, key="k", now=0.0)
    for now in (3.0, 6.0):
        [(item, first_at)] = gathering.take_back()
        assert first_at == 0.0
        gathering.add(item, group=0, key="k", now=now, first_at=first_at)
    assert gathering.due_at(6.0) == 8.0
    assert [fold.item for fold in gathering.take(8.0)] == ["a"]
