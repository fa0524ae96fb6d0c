"""The page in a real browser: wide and on a telephone, light and dark, by keyboard, without script, and acting."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from integration.scenarios.page_visitors import NARROW, OPERATOR, WIDE, Visitor, page_served, shortcomings
from integration.scenarios.running import Running
from integration.scenarios.small_masters import entry, pool, wait_for, wait_running

POOLS = ("quick", "lasting", "hostile")
PATHS = (
    "/",
    *(f"/pools/small/{name}" for name in POOLS),
    "/pools/small/lasting/workers/0",
    "/pools/small/lasting/workers/0/stacks",
    "/nothing/here",
    "/pools/small/nobody",
    "/sign-in",
)

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, int]]:
    """A master with a page, and its port."""
    module = "integration.scenarios.paged"
    groups = {"small": [entry(name.capitalize(), module=module, same_error_limit=1_000) for name in POOLS]}
    with page_served(tmp_path_factory.mktemp("page"), groups, {"history_file": "history"}) as (master, port):
        wait_running(master, len(POOLS))
        wait_for(master, lambda found: found["pools"][2]["failed"] > 1, "something has failed")
        yield master, port


@pytest.fixture(scope="module")
def operator(served: tuple[Running, int]) -> Visitor:
    return Visitor(served[1], OPERATOR)


@pytest.fixture
def page(chromium: Browser, operator: Visitor) -> Iterator[Page]:
    with operator.looking(chromium, viewport=WIDE) as found:
        yield found


def go_live(page: Page, path: str) -> None:
    """Wait until its stream has begun."""
    page.goto(path)
    expect(page.locator("#fresh")).to_have_text("Live")


def test_somebody_signs_in_by_typing(chromium: Browser, served: tuple[Running, int]) -> None:
    with Visitor(served[1]).looking(chromium) as page:
        page.goto("/")
        expect(page).to_have_url(re.compile("/sign-in$"))
        page.get_by_label("Token").fill("a wrong token")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This is no token of this page.")
        page.get_by_label("Token").fill(OPERATOR)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Pools")).to_be_visible()


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_every_page_fits_and_keeps_nobody_out(
    chromium: Browser, operator: Visitor, viewport: ViewportSize, scheme: str
) -> None:
    with operator.looking(chromium, viewport=viewport, color_scheme=scheme) as page:
        for path in PATHS:
            page.goto(path)
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            assert shortcomings(page) == [], path
            assert "owned" not in page.title()


def test_what_is_hostile_is_shown_and_not_run(page: Page) -> None:
    go_live(page, "/events?target=small/hostile")
    shown = page.locator("#events .event", has_text="<img src=x onerror=").first
    expect(shown).to_contain_text("\\u202etfel ot thgir")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert "owned" not in page.title()


def test_an_operator_scales_and_pauses_and_sees_it_come_true(page: Page, served: tuple[Running, int]) -> None:
    master, _ = served
    go_live(page, "/pools/small/quick")
    page.get_by_role("spinbutton", name="Workers").fill("2")
    page.get_by_role("button", name="Scale").click()
    expect(page.locator("#told")).to_contain_text("small/quick: 2 workers")
    expect(page.locator('[id="worker-1"]')).to_contain_text("running")
    assert pool(master, "quick")["workers_pinned"] == 2
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="As configured").click()
    expect(page.locator('[id="worker-1"]')).to_have_count(0)


def test_a_task_is_cancelled_once_that_was_confirmed(page: Page, served: tuple[Running, int]) -> None:
    go_live(page, "/pools/small/lasting/workers/0")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#told")).to_be_empty()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#told")).to_contain_text("cancelled, it is tried again")
    assert "It is tried again" in asked[0]


def test_what_somebody_types_and_where_they_are_outlives_what_changes(page: Page) -> None:
    go_live(page, "/pools/small/quick")
    field = page.get_by_role("spinbutton", name="Workers")
    field.fill("7")
    page.evaluate("document.querySelector('#chart-rate-numbers').open = true")
    tiles = page.locator("#tiles")
    for _ in range(3):
        before = tiles.inner_text()
        expect(tiles).not_to_have_text(before, use_inner_text=True)
    expect(field).to_have_value("7")
    expect(field).to_be_focused()
    link = page.locator("#worker-0 a")
    link.focus()
    row = page.locator("#worker-0")
    before = row.inner_text()
    expect(row).not_to_have_text(before, use_inner_text=True)
    expect(page.locator("#worker-0 a")).to_be_focused()


def test_a_page_says_that_it_is_old_while_the_master_does_not_answer(page: Page, served: tuple[Running, int]) -> None:
    master, _ = served
    go_live(page, "/")
    os.kill(master.process.pid, signal.SIGSTOP)
    try:
        expect(page.locator("#fresh")).to_have_text(re.compile("^Stale since .* UTC$"))
        expect(page.locator("#away")).to_contain_text("The master does not answer.")
    finally:
        os.kill(master.process.pid, signal.SIGCONT)
    expect(page.locator("#fresh")).to_have_text("Live")
    expect(page.locator("#away")).to_be_empty()


def test_all_is_reached_by_keyboard(page: Page) -> None:
    go_live(page, "/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator('[id="pool-small/quick"] a').focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("small/quick")


def test_the_theme_is_chosen_and_kept(page: Page) -> None:
    page.goto("/")
    theme = page.get_by_role("button", name="Theme")
    theme.click()
    theme.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_without_script_pages_are_whole_and_forms_act(chromium: Browser, operator: Visitor) -> None:
    with operator.looking(chromium, java_script_enabled=False) as page:
        page.goto("/pools/small/quick")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#told")).to_contain_text("small/quick: paused")
        expect(page.get_by_role("heading", level=1)).to_contain_text("paused")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#told")).to_contain_text("small/quick: resumed")


def test_the_history_is_kept_beside_the_configuration(page: Page, served: tuple[Running, int]) -> None:
    page.goto("/pools/small/quick")
    page.get_by_role("link", name="Day").click()
    expect(page.locator("[aria-current=true]")).to_have_text("Day")
    assert Path(served[0].log).with_name("history").stat().st_size > 1_000_000
