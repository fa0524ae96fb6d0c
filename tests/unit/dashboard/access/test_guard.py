"""Who is answered: programs by which name, browsers by which cookie."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consumerd.dashboard.access.guard import Guard, by_name
from consumerd.dashboard.access.sessions import Access, Role
from consumerd.dashboard.view.rendering import Renderer
from unit.dashboard.access.asked import answered


async def _numbers(request: Request) -> Response:
    return PlainTextResponse("numbers")


APP = Starlette(routes=[Route("/", by_name(_numbers, ("consumerd",)))])


@pytest.mark.parametrize("host", ["10.1.2.3:9464", "[::1]:9464", "localhost", "consumerd:9464", "consumerd", ""])
def test_programs_are_answered_by_addresses_and_by_names_of_ours(host: str) -> None:
    assert answered(APP, headers={"host": host}) == (200, "numbers")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "consumerd.evil.example", "a@localhost"])
def test_another_name_is_not_answered_whatever_it_leads_to(host: str) -> None:
    status, body = answered(APP, headers={"host": host})
    assert status == 421
    assert "is no name of this page: add it to hosts in [consumerd.dashboard]" in body


def test_a_session_is_known_by_the_cookie_of_its_page_alone() -> None:
    access = Access({Role.OPERATOR: "a token to act with"})
    key = access.sign_in("a token to act with", "::1")
    guard = Guard(access, Renderer({}, [], has_tokens=True), (), is_local=True, cookie="consumerd-9464")

    async def show_role(request: Request) -> Response:
        return PlainTextResponse(guard.session(request).role.text)

    app = Starlette(routes=[Route("/", show_role)])
    assert answered(app, headers={"cookie": f"consumerd-9465=other; consumerd-9464={key}"}) == (200, "operator")
    assert answered(app, headers={"cookie": f"consumerd-9465={key}; consumerd={key}"}) == (200, "nobody")
    response = guard.signed_in(Request({"type": "http", "scheme": "http", "path": "/", "headers": []}), "key")
    assert response.headers["set-cookie"].startswith("consumerd-9464=key;")
