"""Programs that ask for metrics, and by which name."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from consumerd.dashboard.access.guard import by_name
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
