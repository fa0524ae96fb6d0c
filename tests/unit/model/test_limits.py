from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.limits import MADE_UP_NS, SECOND_NS, Numbers, even_after_ns, may_take, starts_from_ns

INTERVALS = st.integers(1_000, 3 * SECOND_NS)


def starts(asks: list[int], interval_ns: int, even_ns: int = 0) -> list[int]:
    """The times of those asks that may start."""
    started = []
    for now_ns in asks:
        if now_ns >= starts_from_ns(even_ns, interval_ns, now_ns):
            even_ns = even_after_ns(even_ns, interval_ns, now_ns)
            started.append(now_ns)
    return started


@given(st.lists(st.integers(0, 10 * SECOND_NS), max_size=200), INTERVALS, st.integers(1, 4 * SECOND_NS))
def test_no_window_has_more_starts_than_the_rate_and_what_is_made_up_for(
    asks: list[int], interval_ns: int, window_ns: int
) -> None:
    started = starts(sorted(asks), interval_ns)
    most = (window_ns + MADE_UP_NS) // interval_ns + 1
    assert all(bisect_left(started, at + window_ns) - index <= most for index, at in enumerate(started))


@given(INTERVALS, st.lists(st.integers(0, MADE_UP_NS), min_size=1, max_size=100), st.integers(0, SECOND_NS))
def test_who_asks_a_little_late_each_time_loses_nothing_of_the_rate(
    interval_ns: int, late_ns: list[int], begin_ns: int
) -> None:
    even_ns, last_ns = begin_ns, begin_ns
    for late in late_ns:
        now_ns = max(last_ns, starts_from_ns(even_ns, interval_ns, last_ns) + late)
        assert now_ns >= starts_from_ns(even_ns, interval_ns, now_ns)
        even_ns, last_ns = even_after_ns(even_ns, interval_ns, now_ns), now_ns
    first_ns = starts_from_ns(begin_ns, interval_ns, begin_ns)
    assert last_ns - first_ns <= interval_ns * (len(late_ns) - 1) + 2 * MADE_UP_NS


@given(INTERVALS, INTERVALS, st.integers(0, 10 * SECOND_NS))
def test_another_rate_holds_at_once(before_ns: int, after_ns: int, now_ns: int) -> None:
    even_ns = even_after_ns(0, before_ns, now_ns)
    assert starts_from_ns(even_ns, after_ns, now_ns) <= now_ns + after_ns


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=300),
)
def test_never_more_than_at_once_and_all_of_it_evenly_among_those_that_want_it(
    at_once: int, steps: list[tuple[int, bool]]
) -> None:
    held = [0] * 5
    wants: set[int] = set()
    for who, is_end in steps:
        if is_end:
            held[who] -= held[who] > 0
            continue
        wants.add(who)
        if may_take(at_once, held[who], held, [held[each] for each in wants - {who}]):
            held[who] += 1
        assert sum(held) <= at_once
    for _ in range(at_once * 6):  # they go on asking, and nothing ends
        for who in wants:
            held[who] += may_take(at_once, held[who], held, [held[each] for each in wants - {who}])
    assert not wants or sum(held) == at_once


def test_the_numbers_of_a_limit() -> None:
    assert Numbers.of(20, None) == Numbers(20, 0)
    assert Numbers.of(0, None) == Numbers.of(7, 0) == Numbers(0)
    assert Numbers.of(None, 0.5) == Numbers(interval_ns=2 * SECOND_NS)
    assert (Numbers.of(None, 100).per_second, Numbers().per_second) == (100.0, None)
