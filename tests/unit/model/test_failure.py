"""What is kept of an error."""

from __future__ import annotations

from consumerd.model.failure import ERROR_CHARACTERS, TRACEBACK_CHARACTERS, describe, one_line


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


def test_a_cause_is_named() -> None:
    def fail() -> None:
        try:
            raise KeyError("uid")
        except KeyError as error:
            raise RuntimeError("cannot grant") from error

    try:
        fail()
    except RuntimeError as error:
        failure = describe(error, str)
    assert failure.traceback.startswith("Caused by KeyError: 'uid'")
    assert "in fail" in failure.traceback


def test_secrets_are_taken_out_of_error_and_traceback() -> None:
    failure = describe(raised(ValueError("password hunter2 refused")), lambda text: text.replace("hunter2", "***"))
    assert failure.error == "ValueError: password *** refused"
    assert "hunter2" not in failure.traceback
