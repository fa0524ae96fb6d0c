"""The balance is even for books that are in order, and says what is wrong with any others."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.demo.balance import POISON, Books, make_logins, newest, payloads, strike

LOGINS = make_logins(40)
LIVE, KILLED = 100, 200
PARKED = tuple((payload, f"{error}: something") for payload, error in POISON.items())


def books_in_order(count: int = len(LOGINS)) -> Books:
    logins = make_logins(count)
    return Books(
        logins=logins,
        handled=tuple((login.id, LIVE) for login in logins),
        parked=PARKED,
        grants=newest(logins),
        pending=0,
        killed_pid=KILLED,
    )


@given(count=st.integers(1, 60))
def test_books_in_order_balance(count: int) -> None:
    balance = strike(books_in_order(count))
    assert balance.problems == ()
    assert (balance.produced, balance.done, balance.parked) == (count + len(POISON), count, len(POISON))
    assert (balance.lost, balance.pending, balance.repeated) == (0, 0, 0)


def test_what_is_neither_done_nor_parked_is_lost() -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=books.handled[1:], parked=PARKED[1:]))
    assert balance.lost == 2
    assert balance.problems == (f"2 task(s) are neither done nor parked, first {LOGINS[0].payload!r}",)


@pytest.mark.parametrize("key", [LOGINS[0].grant, (9, 9, 9)], ids=["not the newest", "never produced"])
def test_a_wrong_grant_is_named(key: tuple[int, int, int]) -> None:
    books = books_in_order()
    balance = strike(replace(books, grants={**books.grants, key: 1}))
    assert balance.problems == (f"1 grant(s) are not the newest that was produced, first {key}",)


def test_a_repetition_after_a_kill_is_explained() -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=((1, KILLED), *books.handled)))
    assert (balance.problems, balance.repeated) == ((), 1)


@pytest.mark.parametrize(
    "order",
    [(LIVE, LIVE), (LIVE, KILLED), (KILLED, LIVE, LIVE)],
    ids=["by a worker that lived", "by the killed worker, afterwards", "twice after one kill"],
)
def test_any_other_repetition_is_a_problem(order: tuple[int, ...]) -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=(*((1, pid) for pid in order), *books.handled[1:])))
    assert balance.problems == ("1 repetition(s) that no kill explains, first 1",)


@pytest.mark.parametrize(
    ("parked", "sentence"),
    [
        ((LOGINS[0].payload, "KeyError: 'uid'"), "1 task(s) are parked that were made to succeed"),
        (PARKED[0], "1 task(s) are parked more than once"),
        ((b"strange", "OSError"), "1 task(s) are parked that were made to succeed, or for another reason"),
        ((PARKED[0][0], "OSError: disk full"), "or for another reason than theirs, first"),
    ],
)
def test_what_should_not_be_parked_is_named(parked: tuple[bytes, str], sentence: str) -> None:
    balance = strike(replace(books_in_order(), parked=(*PARKED, parked)))
    assert any(sentence in problem for problem in balance.problems)


def test_what_is_still_pending_is_a_problem() -> None:
    balance = strike(replace(books_in_order(), pending=3))
    assert balance.problems == ("3 task(s) are still pending, first in the table",)


def test_a_handling_of_what_was_never_produced_is_a_problem() -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=(*books.handled, (-5, LIVE))))
    assert balance.problems == ("1 login(s) were handled and never produced, first -5",)


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
