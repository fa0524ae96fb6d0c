"""The script of the page in a real browser, with answers that the test gives: no master, no server."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from integration.scenarios.page_visitors import SOON_MS

ADDRESS = "http://page.test/"
ANOTHER = 'retry: 1000000\ndata: {"stale": "", "is_another": true}\n\n'

pytestmark = pytest.mark.xdist_group("browser")


def page_of(word: str) -> str:
    return (
        '<!doctype html><head><script src="/static/page.js"></script></head><body data-live-page>'
        '<p id="fresh"><span id="fresh-text"></span></p><main id="main"><div id="told"></div>'
        f'<div id="part" data-live>{word}</div><label>Workers <input></label></main></body>'
    )


class Answers:
    """What the browser is answered: to the stream when the test says so, to a question for the page one after another.

    None: nobody answers.
    """

    def __init__(self) -> None:
        self.pages: list[tuple[int, str] | None] = [(200, page_of("old"))]
        self.streams: list[Route] = []

    def __call__(self, route: Route) -> None:
        path = route.request.url.removeprefix(ADDRESS)
        if path == "static/page.js":
            script = importlib.resources.files("consumerd.dashboard") / "static" / "page.js"
            route.fulfill(body=script.read_text(encoding="utf-8"), content_type="text/javascript")
        elif path.startswith("live"):
            self.streams.append(route)
        elif path:
            route.fulfill(status=404)
        elif (found := self.pages.pop(0)) is None:
            route.abort()
        else:
            route.fulfill(status=found[0], body=found[1], content_type="text/html")


@pytest.fixture
def opened(chromium: Browser) -> Iterator[tuple[Page, Answers]]:
    """A page whose stream is asked for, and not answered yet."""
    answers = Answers()
    with chromium.new_context() as context:
        context.route("**/*", answers)
        page = context.new_page()
        page.set_default_timeout(SOON_MS)
        with page.expect_request("**/live/"):
            page.goto(ADDRESS)
        expect(page.locator("#part")).to_have_text("old")
        yield page, answers


def test_a_page_that_has_become_another_comes_once_nobody_types(opened: tuple[Page, Answers]) -> None:
    page, answers = opened
    field = page.get_by_label("Workers")
    field.fill("7")
    answers.pages.append((200, page_of("new")))
    answers.streams.pop().fulfill(body=ANOTHER, content_type="text/event-stream")
    expect(page.locator("#fresh-text")).to_have_text("Live")
    expect(page.locator("#part")).to_have_text("old")
    expect(field).to_have_value("7")
    field.blur()
    expect(page.locator("#part")).to_have_text("new")


def test_a_page_that_has_become_another_is_asked_for_until_it_is_answered(opened: tuple[Page, Answers]) -> None:
    page, answers = opened
    answers.pages += [None, (503, page_of("refused")), (200, page_of("new"))]
    answers.streams.pop().fulfill(body=ANOTHER, content_type="text/event-stream")
    expect(page.locator("#part")).to_have_text("new")
    assert answers.pages == []


def test_what_was_done_stays_told_when_the_page_becomes_another(opened: tuple[Page, Answers]) -> None:
    page, answers = opened
    page.evaluate("document.getElementById('told').innerHTML = '<p>small: 2 workers</p>'")
    answers.pages.append((200, page_of("new")))
    answers.streams.pop().fulfill(body=ANOTHER, content_type="text/event-stream")
    expect(page.locator("#part")).to_have_text("new")
    expect(page.locator("#told")).to_have_text("small: 2 workers")
