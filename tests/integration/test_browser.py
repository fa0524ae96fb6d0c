"""The page in a real browser: wide and on a telephone, light and dark, by keyboard, without script, and acting."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from integration.scenarios.running import READY_S, Running, environment, running
from integration.scenarios.small_masters import entry, pool, wait_for, wait_running
from servers.ports import free_port
from servers.waiting import wait_until

PAGED = "integration.scenarios.paged"
OPERATOR = "a token to act with"
WIDE, NARROW = (1280, 800), (375, 812)
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
SOON_MS = 20_000
expect.set_options(timeout=SOON_MS)

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A master with a page, and its address."""
    directory, port = tmp_path_factory.mktemp("page"), free_port()
    settings = {"listen": f"127.0.0.1:{port}", "operator_token": "${OPERATOR_TOKEN}", "history_file": "history"}
    consumers = [entry(name.capitalize(), module=PAGED, same_error_limit=1_000) for name in POOLS]
    config = directory / "config.json"
    config.write_text(json.dumps({"small": consumers, "consumerd": {"stop_timeout": 2, "dashboard": settings}}))
    env = environment(OPERATOR_TOKEN=OPERATOR)
    with running(str(config), state_dir=directory / "state", log=directory / "log", env=env) as master:
        wait_running(master, len(POOLS))
        wait_for(master, lambda found: found["pools"][2]["failed"] > 1, "something has failed")
        yield master, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def cookies(chromium: Browser, served: tuple[Running, str]) -> list[dict[str, str]]:
    """Of somebody who has signed in by typing."""
    _, address = served
    with chromium.new_context() as context:
        page = context.new_page()
        wait_until(lambda: answers(page, address), READY_S, "the page is answered")
        page.goto(address)
        expect(page).to_have_url(f"{address}/sign-in")
        page.get_by_label("Token").fill("a wrong token")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This is no token of this page.")
        page.get_by_label("Token").fill(OPERATOR)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Pools")).to_be_visible()
        return context.cookies()


def answers(page: Page, address: str) -> bool:
    try:
        return page.request.get(f"{address}/livez").ok
    except Exception:  # noqa: BLE001 - playwright's own kind, while nobody listens
        return False


def axe() -> str:
    """The script that looks for what keeps people from using a page."""
    return (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


class Reader:
    """Somebody at a browser, signed in; what the browser complains of is kept."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address = address
        self.page = context.new_page()
        self.page.set_default_timeout(SOON_MS)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)

    def go(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page

    def go_live(self, path: str) -> Page:
        """Wait until its stream has begun."""
        self.go(path)
        expect(self.page.locator("#fresh")).to_have_text("Live")
        return self.page


@pytest.fixture
def reader(chromium: Browser, served: tuple[Running, str], cookies: list[dict[str, str]]) -> Iterator[Reader]:
    with chromium.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}) as context:
        context.add_cookies(cookies)
        yield Reader(context, served[1])


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_every_page_fits_and_keeps_nobody_out(
    chromium: Browser, served: tuple[Running, str], cookies: list[dict[str, str]], size: tuple[int, int], scheme: str
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    with chromium.new_context(viewport=viewport, color_scheme=scheme) as context:
        context.add_cookies(cookies)
        reader, script = Reader(context, served[1]), axe()
        wrong = {}
        for path in PATHS:
            page = reader.go(path)
            page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            page.evaluate(script)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            problems = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
            overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            problems += [f"{overflow} pixels too wide"] if overflow > 0 else []
            assert "owned" not in page.title()
            if problems:
                wrong[path] = problems
        assert not wrong, json.dumps(wrong, indent=1)
        assert [told for told in reader.complaints if "404" not in told] == []


def test_what_is_hostile_is_shown_and_not_run(reader: Reader) -> None:
    page = reader.go_live("/events?target=small/hostile")
    shown = page.locator("#events .event", has_text="<img src=x onerror=").first
    expect(shown).to_contain_text("\\u202etfel ot thgir")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert "owned" not in page.title()
    assert reader.complaints == []


def test_an_operator_scales_and_pauses_and_sees_it_come_true(reader: Reader, served: tuple[Running, str]) -> None:
    master, _ = served
    page = reader.go_live("/pools/small/quick")
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
    assert reader.complaints == []


def test_a_task_is_cancelled_once_that_was_confirmed(reader: Reader, served: tuple[Running, str]) -> None:
    page = reader.go_live("/pools/small/lasting/workers/0")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#told")).to_be_empty()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("#told")).to_contain_text("cancelled, it is tried again")
    assert "It is tried again" in asked[0]


def test_what_somebody_types_and_where_they_are_outlives_what_changes(reader: Reader) -> None:
    page = reader.go_live("/pools/small/quick")
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


def test_a_page_says_that_it_is_old_while_the_master_does_not_answer(
    reader: Reader, served: tuple[Running, str]
) -> None:
    master, _ = served
    page = reader.go_live("/")
    os.kill(master.process.pid, signal.SIGSTOP)
    try:
        expect(page.locator("#fresh")).to_have_text(re.compile("^Stale since .* UTC$"))
        expect(page.locator("#away")).to_contain_text("The master does not answer.")
    finally:
        os.kill(master.process.pid, signal.SIGCONT)
    expect(page.locator("#fresh")).to_have_text("Live")
    expect(page.locator("#away")).to_be_empty()


def test_all_is_reached_by_keyboard(reader: Reader) -> None:
    page = reader.go_live("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator('[id="pool-small/quick"] a').focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("small/quick")


def test_the_theme_is_chosen_and_kept(reader: Reader) -> None:
    page = reader.go("/")
    theme = page.get_by_role("button", name="Theme")
    theme.click()
    theme.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(reader.go("/").locator("html")).to_have_attribute("data-theme", "dark")


def test_without_script_pages_are_whole_and_forms_act(
    chromium: Browser, served: tuple[Running, str], cookies: list[dict[str, str]]
) -> None:
    with chromium.new_context(java_script_enabled=False) as context:
        context.add_cookies(cookies)
        page = Reader(context, served[1]).go("/pools/small/quick")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#told")).to_contain_text("small/quick: paused")
        expect(page.get_by_role("heading", level=1)).to_contain_text("paused")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator("#told")).to_contain_text("small/quick: resumed")


def test_the_history_is_kept_beside_the_configuration(reader: Reader, served: tuple[Running, str]) -> None:
    page = reader.go("/pools/small/quick")
    page.get_by_role("link", name="Day").click()
    expect(page.locator("[aria-current=true]")).to_have_text("Day")
    assert Path(served[0].log).with_name("history").stat().st_size > 1_000_000
