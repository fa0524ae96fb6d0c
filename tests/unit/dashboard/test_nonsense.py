"""Nonsense that somebody asks: a sentence, and no error of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette

from consumerd.dashboard.access.sessions import Access, Role
from consumerd.dashboard.app import Reached, make_app
from consumerd.dashboard.master import Master
from consumerd.dashboard.memory import Memory
from unit.dashboard.access.asked import FORM, answered

OWN = FORM | {"origin": "http://localhost"}
NONSENSE = ("9" * 5_000, "\0", "%", "..", "²", "-1", "💥", "a b", "x" * 60_000)


@pytest.fixture
def app() -> Starlette:
    """For guests who may look, of a master that does not run."""
    reached = Reached(Access({}, open_to=Role.OPERATOR), (), is_local=True, cookie="consumerd-1")
    return make_app(Master(Path("/nonexistent/control.sock")), Memory(), reached)


@pytest.mark.parametrize(
    "path",
    [
        *(f"/{each}" for each in NONSENSE),
        *(f"/pools/{each}/{each}" for each in NONSENSE),
        *(f"/pools/a/b/workers/{each}" for each in NONSENSE),
        *(f"/pools/a/b/workers/{each}/stacks" for each in NONSENSE),
        *(f"/parked/{each}" for each in NONSENSE),
        *(f"/static/{each}" for each in NONSENSE),
    ],
    ids=lambda path: ascii(path)[:40],
)
def test_nonsense_in_a_path_is_answered_with_a_sentence(app: Starlette, path: str) -> None:
    status, body = answered(app, path)
    assert status in (200, 404, 503)
    assert body


@pytest.mark.parametrize("page", ["/", "/parked", "/parked/confirm", "/events", "/audit", "/schedules", "/sign-in"])
@pytest.mark.parametrize("value", ["9" * 5_000, "%00", "%FF", "nan", "-inf", "%F0%9F%92%A5", ""])
def test_nonsense_in_a_query_is_answered_with_a_sentence(app: Starlette, page: str, value: str) -> None:
    names = ("most", "by", "do", "target", "state", "error", "text", "where", "since", "until", "level", "event", "key")
    status, body = answered(app, page, query="&".join(f"{name}={value}" for name in names))
    assert status in (200, 404, 503)
    assert body


@pytest.mark.parametrize("value", [b"9" * 5_000, b"%00", b"%FF", b"nan", b"-inf", b""])
@pytest.mark.parametrize("act", ["scale", "restart", "pause", "cancel", "parked-change", "parked-edit"])
def test_nonsense_in_a_form_is_answered(app: Starlette, act: str, value: bytes) -> None:
    names = (b"target", b"workers", b"task", b"handle", b"until", b"rate", b"record", b"expected", b"typed", b"back")
    for do in (b"retry", b"discard", b"none"):
        body = b"csrf=&do=" + do + b"".join(b"&" + name + b"=" + value for name in names)
        status, _ = answered(app, f"/acts/{act}", body[:16_000], OWN)
        assert status in (303, 413)


def test_a_form_that_is_too_large_is_refused(app: Starlette) -> None:
    status, body = answered(app, "/sign-in", b"%41=%42&" * 500_000, OWN)
    assert status == 413
    assert "This form has more than 16,384 bytes" in body
