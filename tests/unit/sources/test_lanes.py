"""Whose rows a claim takes."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from consumerd.sources.table.turns.lanes import MANY, MOST_IN_A_CLAIM, MOST_KNOWN, Lanes, rank_of

LANES = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0]), st.integers(1, MANY + 9)),
    min_size=1,
    max_size=40,
)


def lanes_of(rows: list[tuple[int, float, int]]) -> Lanes:
    lanes = Lanes(lambda: 0.0)
    for number, (rank, weight, due) in enumerate(rows):
        lanes.learn((number,), (rank,), weight, due)
    return lanes


@given(LANES, st.integers(1, 300))
def test_a_claim_shares_out_what_is_due_and_no_more_than_it_may_take(
    rows: list[tuple[int, float, int]], limit: int
) -> None:
    chosen = lanes_of(rows).choose(limit)
    shares = {lane.values[0]: share for lane, share in chosen}
    assert len(shares) == len(chosen) <= MOST_IN_A_CLAIM
    assert all(share >= 1 and (lane.rows >= MANY or share <= lane.rows) for lane, share in chosen)
    due = sum(limit if each >= MANY else each for _, _, each in rows)
    assert sum(shares.values()) <= min(limit, due)
    assert sum(shares.values()) == min(limit, due) or len(chosen) == MOST_IN_A_CLAIM


@given(LANES, st.integers(1, 300))
def test_a_lower_priority_has_rows_only_where_a_higher_one_has_no_more(
    rows: list[tuple[int, float, int]], limit: int
) -> None:
    chosen = lanes_of(rows).choose(limit)
    lowest = max(lane.rank for lane, _ in chosen)
    shares = {lane.values[0]: share for lane, share in chosen}
    for number, (rank, _, due) in enumerate(rows):
        if (rank,) < lowest:
            assert shares.get(number) == due < MANY


@given(
    st.lists(st.sampled_from([0.25, 1.0, 2.0, 5.0]), min_size=1, max_size=30),
    st.sampled_from([1, 7, 16, 100]),
    st.floats(0.0, 0.999),
)
def test_lanes_with_many_rows_have_them_by_their_weights(weights: list[float], limit: int, start: float) -> None:
    lanes = lanes_of([(0, weight, MANY) for weight in weights])
    lanes.turn_by(start)
    had: Counter[object] = Counter()
    rounds = max(1, limit // MOST_IN_A_CLAIM) * sum(weights) * 40 / limit
    for _ in range(math.ceil(rounds)):
        for lane, share in lanes.choose(limit):
            had[lane.values[0]] += share
            lanes.note(lane, share, is_over=False)
    total, whole = sum(had.values()), sum(weights)
    a_turn = max(1, limit // MOST_IN_A_CLAIM) * max(weights) + 1
    for number, weight in enumerate(weights):
        assert abs(had[number] - total * weight / whole) <= 2 * a_turn


@given(st.integers(1, 60), st.integers(1, 100), st.integers(1, MANY - 1))
def test_a_lane_that_is_new_has_its_turn_when_each_other_had_one(others: int, limit: int, due: int) -> None:
    lanes = lanes_of([(0, 1.0, MANY)] * others)
    for lane, share in lanes.choose(limit):
        lanes.note(lane, share, is_over=False)
    lanes.learn(("new",), (0,), 1.0, due)
    passed, chosen = 0, lanes.choose(limit)
    while "new" not in [lane.values[0] for lane, _ in chosen]:
        passed += sum(share for _, share in chosen)
        chosen = lanes.choose(limit)
    assert passed <= (others + 1) * max(1, limit // MOST_IN_A_CLAIM)


def test_what_was_claimed_is_not_counted_again() -> None:
    lanes = lanes_of([(0, 1.0, 3), (0, 1.0, MANY)])
    for lane, share in lanes.choose(10):
        lanes.note(lane, share, is_over=False)
    assert [lane.values for lane, _ in lanes.choose(10)] == [(1,)]
    lanes.note(lanes.choose(10)[0][0], 2, is_over=True)
    assert lanes.is_empty
    assert lanes.choose(10) == []


def test_a_lane_of_which_nothing_is_due_any_more_is_forgotten() -> None:
    lanes = lanes_of([(0, 1.0, MANY)])
    lanes.learn((0,), (0,), 1.0, 0)
    lanes.learn((1,), (0,), 1.0, 0)
    assert lanes.is_empty


def test_no_more_lanes_are_kept_than_are_needed() -> None:
    lanes = lanes_of([(number % 3, 1.0, MANY) for number in range(MOST_KNOWN + 50)])
    assert lanes.rows == MOST_KNOWN * MANY


def test_priorities_are_numbers_in_their_order_then_others_then_none() -> None:
    values = [None, 1, b"x", Decimal(3), "7", 2.5, math.nan]
    assert sorted(values, key=lambda value: rank_of(value, is_smallest_first=False))[:3] == [Decimal(3), 2.5, 1]
    ranks = sorted(values, key=lambda value: rank_of(value, is_smallest_first=True))
    assert ranks[:3] == [1, 2.5, Decimal(3)]
    assert ranks[-1] is None
