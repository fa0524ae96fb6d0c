"""What is kept of an error."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from consumerd.model.connection_errors import connection_error
from consumerd.model.failure import (
    ERROR_CHARACTERS,
    TRACEBACK_CHARACTERS,
    Failure,
    describe,
    drop_tracebacks,
    one_line,
)


class HostileError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text for you")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_error_is_one_line_with_its_type() -> None:
    assert one_line(ValueError("first\nsecond\tthird")) == "ValueError: first second third"


def test_an_error_whose_text_raises_is_still_described() -> None:
    failure = describe(raised(HostileError()), str)
    assert failure.error == "HostileError: (its text cannot be had: ValueError)"
    assert "HostileError" in failure.traceback


def test_a_huge_error_is_shortened_in_the_middle() -> None:
    failure = describe(raised(ValueError("a" * 50_000_000 + "end")), str)
    assert len(failure.error) < ERROR_CHARACTERS + 100
    assert failure.error.endswith("end")
    assert len(failure.traceback) < TRACEBACK_CHARACTERS + 100


def test_a_huge_error_of_short_words_is_shortened_before_it_is_split() -> None:
    assert one_line(ValueError("a\n" * 20_000_000)).startswith("ValueError: a a a a")


def test_a_chain_has_its_frames_and_notes_the_first_cause_first() -> None:
    def connect() -> None:
        raise OSError("no route to host")

    def charge() -> None:
        try:
            connect()
        except OSError as error:
            error.add_note("while charging invoice 7")
            raise ConnectionError("lost connection") from error

    def handle() -> None:
        try:
            charge()
        except ConnectionError as error:
            raise RuntimeError("payment failed") from error

    told = described(handle).traceback
    places = [told.index(each) for each in ("in connect", "OSError: no route to host", "while charging invoice 7")]
    places += [told.index(each) for each in ("raise ConnectionError", "Error: lost", "raise RuntimeError")]
    assert places == sorted(places)
    assert told.endswith("RuntimeError: payment failed")


def test_what_was_handled_meanwhile_is_a_cause_unless_it_is_suppressed() -> None:
    def handle() -> None:
        try:
            raise KeyError("uid")
        except KeyError:
            raise RuntimeError("cannot grant")  # noqa: B904 - that is the test

    error = raised_in(handle)
    assert describe(error, str).traceback.count("KeyError: 'uid'") == 1
    error.__suppress_context__ = True  # as `from None` does
    assert describe(error, str).traceback.count("KeyError: 'uid'") == 0


def test_the_errors_of_a_group_are_named_in_the_line_and_told_with_their_frames() -> None:
    def refuse() -> None:
        raise ConnectionRefusedError("service alpha refused the card")

    inner = raised_in(refuse)

    def handle() -> None:
        nested = ExceptionGroup("nested", [inner, KeyError("uid")])
        raise ExceptionGroup("unhandled errors in a TaskGroup", [nested, ValueError("beta")])

    failure = described(handle)
    assert failure.error == (
        "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions); "
        "ConnectionRefusedError: service alpha refused the card; KeyError: 'uid'; ValueError: beta"
    )
    assert "in refuse" in failure.traceback
    assert "2 of 2 in it" in failure.traceback


def test_a_chain_that_is_a_ring_a_deep_group_and_strange_notes_are_told_all_the_same() -> None:
    ring = ValueError("ring")
    ring.__cause__ = KeyError("other")
    ring.__cause__.__cause__ = ring
    assert "KeyError: 'other'" in describe(ring, str).traceback
    deep: Exception = ValueError("in the deep")
    for _ in range(500):
        deep = ExceptionGroup("level", [deep])
    assert "ExceptionGroup: level" in describe(deep, str).traceback
    wide = ExceptionGroup("wide", [ValueError(str(number)) for number in range(50_000)])
    assert len(describe(wide, str).traceback) < TRACEBACK_CHARACTERS + 100
    strange = ValueError("strange")
    strange.__notes__ = [HostileError(), 7]
    assert "(its text cannot be had: ValueError)" in describe(strange, str).traceback


def test_an_exception_whose_attributes_raise_is_still_described() -> None:
    class WorseError(Exception):
        @property
        def __notes__(self) -> list[str]:
            raise LookupError("no notes for you")

    assert "its traceback cannot be had: LookupError" in describe(WorseError("x"), str).traceback


def test_a_long_chain_keeps_its_last_errors() -> None:
    error: Exception = ValueError("0")
    for number in range(1, 100):
        later = ValueError(str(number))
        later.__cause__ = error
        error = later
    told = describe(error, str).traceback
    assert told.endswith("ValueError: 99")
    assert "ValueError: 95" in told
    assert "ValueError: 50" not in told


def described(function: Callable[[], None]) -> Failure:
    return describe(raised_in(function), str)


def raised_in(function: Callable[[], None]) -> Exception:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it raises
        return error
    raise AssertionError("it raised nothing")


def test_a_module_in_which_something_is_missing_is_named_with_its_file() -> None:
    line = one_line(raised_in(lambda: getattr(json, "no_such_thing")))  # noqa: B009 - that is the test
    assert line == f"AttributeError: module 'json' has no attribute 'no_such_thing' (json is {json.__file__})"
    line = one_line(raised_in(lambda: importlib.import_module("json.decoder.inner")))
    assert line.endswith(f"(json.decoder is {json.decoder.__file__})")
    assert one_line(raised_in(lambda: getattr(7, "no_such_thing"))).endswith("'no_such_thing'")  # noqa: B009 - as above


def test_secrets_are_taken_out_of_error_and_traceback() -> None:
    failure = describe(raised(ValueError("password hunter2 refused")), lambda text: text.replace("hunter2", "***"))
    assert failure.error == "ValueError: password *** refused"
    assert "hunter2" not in failure.traceback


@dataclass(frozen=True)
class FrozenError(Exception):
    uid: int = 7


class AskingError(Exception):
    """Has any attribute, and none."""

    def __getattr__(self, name: str) -> object:
        raise KeyError(name)


class NoneOfItError(ExceptionGroup[Exception]):
    exceptions = property(lambda self: 1 / 0)  # type: ignore[assignment]  # it is hostile
    __cause__ = property(lambda self: 1 / 0)  # type: ignore[assignment]  # as above
    __notes__ = property(lambda self: 1 / 0)  # type: ignore[assignment]  # as above


HOSTILE = [FrozenError(), AskingError("x"), NoneOfItError("x", [ValueError("inside")])]


@pytest.mark.parametrize("error", HOSTILE, ids=lambda error: type(error).__name__)
def test_an_exception_of_any_making_is_described_asked_for_its_connection_and_let_go(error: Exception) -> None:
    with pytest.raises(type(error)):
        raise error
    assert type(error).__name__ in describe(error, str).error
    assert connection_error(error) == ""
    drop_tracebacks(error)
    assert vars(BaseException)["__traceback__"].__get__(error) is None
