"""Tokens, sessions, and how guesses are slowed down."""

from __future__ import annotations

import pytest

from consumerd.dashboard.access.sessions import (
    FREE_GUESSES,
    LONGEST_WAIT_S,
    MOST_SESSIONS,
    SESSION_S,
    Access,
    GuessedTooOftenError,
    Role,
)
from consumerd.testing.clock import ManualClock

TOKENS = {Role.READ_ONLY: "for those who look", Role.OPERATOR: "for those who act"}


def signed_in(access: Access, token: str, address: str = "::1") -> str:
    cookie = access.sign_in(token, address)
    assert cookie is not None
    return cookie


def test_a_token_signs_in_with_its_role_and_a_form_secret_of_its_own() -> None:
    access = Access(TOKENS)
    sessions = [access.session(signed_in(access, token)) for token in TOKENS.values()]
    assert [session.role for session in sessions] == [Role.READ_ONLY, Role.OPERATOR]
    assert len({session.csrf for session in sessions}) == 2
    assert all(session.csrf for session in sessions)


@pytest.mark.parametrize("token", ["", "for those who ac", "FOR THOSE WHO ACT", "\ud800", "for those who act "])
def test_any_other_token_signs_nobody_in(token: str) -> None:
    assert Access(TOKENS).sign_in(token, "::1") is None


def test_a_cookie_that_nobody_has_is_a_guests() -> None:
    assert Access(TOKENS).session("").role is Role.NOBODY
    assert Access({}, open_to=Role.READ_ONLY).session("any").role is Role.READ_ONLY
    assert Access({}).sign_in("", "::1") is None


def test_a_session_ends_by_itself_and_when_somebody_signs_out() -> None:
    clock = ManualClock()
    access = Access(TOKENS, clock=clock)
    first, second = (signed_in(access, TOKENS[Role.OPERATOR]) for _ in range(2))
    access.sign_out(first)
    assert access.session(first).role is Role.NOBODY
    clock.advance(SESSION_S - 1)
    assert access.session(second).role is Role.OPERATOR
    clock.advance(2)
    assert access.session(second).role is Role.NOBODY


def test_a_key_signs_in_once() -> None:
    access = Access({}, open_to=Role.READ_ONLY, one_time="a key")
    assert access.sign_in_once("") is None
    assert access.sign_in_once("another") is None
    cookie = access.sign_in_once("a key")
    assert cookie is not None
    assert access.session(cookie).role is Role.OPERATOR
    assert access.sign_in_once("a key") is None
    assert access.sign_in_once("") is None


def test_who_guesses_waits_longer_each_time() -> None:
    clock = ManualClock()
    access = Access(TOKENS, clock=clock)
    for _ in range(FREE_GUESSES):
        assert access.sign_in("wrong", "10.0.0.1") is None
    waits = []
    for _ in range(8):
        with pytest.raises(GuessedTooOftenError) as refused:
            access.sign_in("wrong", "10.0.0.1")
        waits.append(refused.value.wait_s)
        clock.advance(refused.value.wait_s + 0.01)
        access.sign_in("wrong", "10.0.0.1")
    assert waits[:3] == pytest.approx([1, 2, 4])
    assert max(waits) == LONGEST_WAIT_S
    assert access.sign_in("wrong", "10.0.0.2") is None


def test_many_addresses_together_are_slowed_down_too() -> None:
    access = Access(TOKENS, clock=ManualClock())

    def guess_from_many() -> None:
        for number in range(1_000):
            access.sign_in("wrong", f"10.0.{number // 250}.{number % 250}")

    with pytest.raises(GuessedTooOftenError):
        guess_from_many()
    assert access.session(signed_in(access, TOKENS[Role.OPERATOR], "10.0.0.1")).role is Role.OPERATOR
    with pytest.raises(GuessedTooOftenError):
        access.sign_in("wrong", "10.9.9.9")


def test_the_oldest_session_goes_where_there_are_too_many() -> None:
    access = Access(TOKENS)
    cookies = [signed_in(access, TOKENS[Role.READ_ONLY]) for _ in range(MOST_SESSIONS + 1)]
    assert access.session(cookies[0]).role is Role.NOBODY
    assert access.session(cookies[1]).role is Role.READ_ONLY
