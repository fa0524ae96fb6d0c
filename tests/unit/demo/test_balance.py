"""The balance is even for books that are in order, and says what is wrong with any others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.demo.balance import Books, strike
from consumerd.demo.grants import Handling
from consumerd.demo.logins import POISON, make_logins, newest

LOGINS = make_logins(40)
LIVE, KILLED = 100, 200


def books_in_order(count: int = len(LOGINS), seed: int = 1) -> Books:
    logins = make_logins(count, seed)
    return Books(
        logins=logins,
        poison=POISON,
        handled=tuple(Handling(login.id, LIVE) for login in logins),
        parked=tuple((bad.payload, f"{bad.error}: something") for bad in POISON),
        grants=newest(logins),
        pending=0,
        killed_pids=frozenset({KILLED}),
    )


@given(count=st.integers(1, 60), seed=st.integers(0, 1000))
def test_books_in_order_balance(count: int, seed: int) -> None:
    balance = strike(books_in_order(count, seed))
    assert balance.is_even
    assert (balance.produced, balance.done, balance.parked) == (count + len(POISON), count, len(POISON))
    assert (balance.lost, balance.wrong_grants, balance.repeated, balance.unexplained) == (0, 0, 0, 0)


def test_a_login_that_nobody_handled_is_lost() -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=books.handled[1:]))
    assert balance.lost == 1
    assert balance.problems == ("1 login(s) are neither done nor parked: 1",)


def test_a_poison_task_that_is_not_parked_is_lost() -> None:
    books = books_in_order()
    balance = strike(replace(books, parked=books.parked[1:]))
    assert balance.lost == 1
    assert balance.problems == (f"the poison task with {POISON[0].why} is not parked",)


def test_a_grant_that_is_not_the_newest_is_wrong() -> None:
    books = books_in_order()
    key = next(iter(books.grants))
    balance = strike(replace(books, grants={**books.grants, key: books.grants[key] - 1}))
    assert balance.wrong_grants == 1
    assert not balance.is_even


def test_a_grant_that_nobody_produced_is_wrong() -> None:
    books = books_in_order()
    balance = strike(replace(books, grants={**books.grants, (9, 9, 9): 1}))
    assert balance.wrong_grants == 1
    assert not balance.is_even


def test_a_repetition_after_a_kill_is_explained() -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=(Handling(1, KILLED), *books.handled)))
    assert balance.is_even
    assert (balance.repeated, balance.unexplained) == (1, 0)


@pytest.mark.parametrize(
    "order",
    [(LIVE, LIVE), (LIVE, KILLED), (KILLED, LIVE, LIVE)],
    ids=["by a worker that lived", "by the killed worker, afterwards", "twice after one kill"],
)
def test_any_other_repetition_is_unexplained(order: tuple[int, ...]) -> None:
    books = books_in_order()
    handled = (*(Handling(1, pid) for pid in order), *books.handled[1:])
    balance = strike(replace(books, handled=handled))
    assert balance.unexplained == 1
    assert balance.problems == ("1 repetition(s) that no kill explains: logins 1",)


@pytest.mark.parametrize(
    ("payload", "error", "sentence"),
    [
        (LOGINS[0].payload, "KeyError: 'uid'", "login 1 is parked and done as well, and was made to succeed"),
        (POISON[0].payload, POISON[0].error, "a task is parked 2 times"),
        (b"strange", "OSError", "what is parked was never produced: b'strange'"),
        (POISON[0].payload, "OSError: disk full", "the task with not JSON is parked for another reason"),
    ],
)
def test_what_should_not_be_parked_is_named(payload: bytes, error: str, sentence: str) -> None:
    books = books_in_order()
    balance = strike(replace(books, parked=(*books.parked, (payload, error))))
    assert any(sentence in problem for problem in balance.problems)


def test_what_is_still_pending_is_a_problem() -> None:
    balance = strike(replace(books_in_order(), pending=3))
    assert balance.problems == ("3 task(s) are still pending in the table",)


def test_a_handling_of_what_was_never_produced_is_a_problem() -> None:
    books = books_in_order()
    balance = strike(replace(books, handled=(*books.handled, Handling(-5, LIVE))))
    assert balance.problems == ("1 login(s) were handled and never produced: -5",)


def test_a_long_list_of_losses_is_cut() -> None:
    balance = strike(replace(books_in_order(), handled=()))
    assert balance.problems[0] == "40 login(s) are neither done nor parked: 1, 2, 3, 4, 5 and 35 more"
