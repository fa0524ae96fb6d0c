"""What the demo produces."""

import json

from hypothesis import given
from hypothesis import strategies as st

from consumerd.demo.logins import POISON, make_logins, newest, payloads


@given(count=st.integers(1, 200))
def test_everything_is_produced_once_and_the_logins_stay_in_order(count: int) -> None:
    logins = make_logins(count)
    produced = payloads(logins)
    assert [payload for payload in produced if payload not in POISON] == [login.payload for login in logins]
    assert sorted(payload for payload in produced if payload in POISON) == sorted(POISON)


def test_the_poison_stands_among_the_logins() -> None:
    produced = payloads(make_logins(600))
    assert [produced.index(payload) for payload in POISON] == [100, 201, 302, 403, 504]


@given(count=st.integers(1, 200))
def test_a_grant_is_the_newest_of_its_logins(count: int) -> None:
    records = [json.loads(login.payload) for login in make_logins(count)]
    for (platform, uid, app_id), last in newest(make_logins(count)).items():
        times = [r["now"] for r in records if (r["platform"], r["uid"], r["app_id"]) == (platform, uid, app_id)]
        assert last == max(times)
