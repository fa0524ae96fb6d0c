"""What the demo produces."""

import json

from hypothesis import given
from hypothesis import strategies as st

from consumerd.demo.logins import POISON, make_logins, newest, payloads


@given(count=st.integers(1, 200))
def test_everything_is_produced_once_and_the_logins_stay_in_order(count: int) -> None:
    logins = make_logins(count)
    produced = payloads(logins)
    poison = {bad.payload for bad in POISON}
    assert [payload for payload in produced if payload not in poison] == [login.payload for login in logins]
    assert sorted(payload for payload in produced if payload in poison) == sorted(poison)


def test_the_poison_stands_among_the_logins() -> None:
    produced = payloads(make_logins(600))
    places = [produced.index(bad.payload) for bad in POISON]
    assert places == [100, 201, 302, 403, 504]


def test_the_same_seed_makes_the_same_logins() -> None:
    assert make_logins(50, seed=3) == make_logins(50, seed=3)
    assert make_logins(50, seed=3) != make_logins(50, seed=4)


@given(count=st.integers(1, 200), seed=st.integers(0, 1000))
def test_a_grant_is_the_newest_of_its_logins(count: int, seed: int) -> None:
    records = [json.loads(login.payload) for login in make_logins(count, seed)]
    for (platform, uid, app_id), last in newest(make_logins(count, seed)).items():
        times = [r["now"] for r in records if (r["platform"], r["uid"], r["app_id"]) == (platform, uid, app_id)]
        assert last == max(times)
