"""Forms: how much of them is read, and what is said of others."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consumerd.dashboard.access.failures import SENTENCE, Failures
from consumerd.dashboard.access.forms import LARGEST_FORM_BYTES, MOST_FIELDS, FormRefusedError, form_of
from unit.dashboard.access.asked import FORM, answered


async def _read(request: Request) -> Response:
    try:
        return PlainTextResponse(repr(await form_of(request)))
    except FormRefusedError as error:
        return PlainTextResponse(str(error), error.status)


APP = Starlette(routes=[Route("/", _read, methods=["POST"])])


def test_a_form_has_its_fields() -> None:
    assert answered(APP, body=b"a=1&b=%C3%A4&c=", headers=FORM) == (200, repr({"a": "1", "b": "ä", "c": ""}))


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"a=1", {}, 415),
        (b"a=1", FORM | {"content-length": "9" * 5_000}, 413),
        (b"a=1", FORM | {"content-length": str(LARGEST_FORM_BYTES + 1)}, 413),
        (b"a=" + b"1" * LARGEST_FORM_BYTES, FORM, 413),
        (b"%41=%42&" * MOST_FIELDS, FORM, 413),
        (b"\xff=1", FORM, 400),
        (b"a", FORM, 400),
    ],
)
def test_any_other_is_refused_with_a_sentence(body: bytes, headers: dict[str, str], status: int) -> None:
    found, sentence = answered(APP, body=body, headers=headers)
    assert found == status
    assert "form" in sentence


def test_a_form_of_the_largest_size_and_the_most_fields_is_read() -> None:
    fields = b"a=1&" * (MOST_FIELDS - 1) + b"b="
    status, _ = answered(APP, body=fields + b"x" * (LARGEST_FORM_BYTES - len(fields)), headers=FORM)
    assert status == 200


async def _fail(request: Request) -> Response:
    raise ZeroDivisionError("one\ntwo")


def test_an_error_of_ours_is_a_sentence_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    app = Starlette(routes=[Route("/{any}", _fail)], middleware=[Middleware(Failures)])
    assert answered(app, "/\0x") == (500, SENTENCE)
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError" in line
    assert r"'/\x00x'" in line
