"""The pages of parked tasks, destinations, schedules and events over HTTP, as programs see them."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from consumerd.parking.opening import open_store
from contracts.parking_store import dead_task
from integration.scenarios.page_visitors import (
    LOOKER,
    NARROW,
    OPERATOR,
    WIDE,
    Visitor,
    page_served,
    shortcomings,
)
from integration.scenarios.running import READY_S, Running
from integration.scenarios.shown_tasks import HOSTILE
from servers.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")
MODULE = "integration.scenarios.shown_tasks"
INVOICES = 7
OTHERS = "shop/others"
OF_TASKS = ("/parked", "/parked?by=error", "/destinations", "/schedules", "/events", "/audit")


class Shown(NamedTuple):
    """A master with tasks that somebody looks at, and who does."""

    master: Running
    operator: Visitor
    looker: Visitor
    book: Path

    def act(self, name: str, **form: str) -> list[list[str]]:
        """What an operator is told of it."""
        filled = {**form, "csrf": self.operator.csrf()}
        answered = self.operator.ask(f"/acts/{name}", filled, accept="application/json")
        assert answered.status == 200, answered.body
        told: list[list[str]] = json.loads(answered.body)["told"]
        return told

    def fields(self, path: str) -> dict[str, str]:
        """The hidden fields of the form that a page has for an operator."""
        body = self.operator.ask(path).body
        form = body[body.index('action="/acts/parked-change"') :]
        found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        return {name: html.unescape(value) for name, value in found}

    def parked(self, **narrowing: str) -> list[dict[str, Any]]:
        options = [f"--{name}={value}" for name, value in narrowing.items()]
        tasks: list[dict[str, Any]] = self.master.answer("parked", "list", *options)["tasks"]
        return tasks


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    directory = tmp_path_factory.mktemp("tasks")
    more = {"parking": "embedded", "limits": {"server": {"by": "server", "at_once": 2}}}
    with page_served(directory, {"shop": entries(directory)}, {}, **more) as (master, port):
        operator, looker = Visitor(port, OPERATOR), Visitor(port, LOOKER)
        found = Shown(master, operator, looker, directory / "book")
        wait_until(lambda: len(found.parked(target="shop/invoices")) == INVOICES, READY_S, master.tail)
        store = open_store(None, master.state_dir)
        store.park([replace(dead_task(0, OTHERS), payload=payload, error=name) for name, payload in hostile().items()])
        store.close()
        yield found


def entries(directory: Path) -> list[dict[str, Any]]:
    configs: Mapping[str, Mapping[str, Any]] = {
        "Invoices": {"invoices": INVOICES, "task_retry_times": 0, "same_error_limit": 0, "book": f"{directory}/book"},
        "Nightly": {"every": 3600},
        "Calls": {"concurrency": 4, "limits": ["server"]},
    }
    return [{"module": MODULE, "class": name, "name": name.lower(), "configs": keys} for name, keys in configs.items()]


def hostile() -> dict[str, bytes]:
    """Payloads that nobody would send who means well, by their names."""
    found = {
        f"{name} in JSON": json.dumps({"name": text}, ensure_ascii=False).encode() for name, text in HOSTILE.items()
    }
    found |= {f"{name} alone": text.encode() for name, text in HOSTILE.items()}
    return found | {"bytes": bytes(range(256)), "large": b'{"a": "' + b"<b>" * 400_000 + b'"}', "deep": b"[" * 50_000}


def test_tasks_are_searched_by_what_they_hold(shown: Shown) -> None:
    body = shown.looker.ask("/parked?target=shop%2Finvoices").body
    assert body.count("has no total") == INVOICES
    found = shown.looker.ask("/parked?target=shop&where=user.id%3D2&text=user+5").body
    assert found.count("has no total") == 1
    assert "invoice 5 has no total" in found
    assert "No parked task is like that" in shown.looker.ask("/parked?text=nowhere").body
    wrong = shown.looker.ask("/parked?where=user&since=2h")
    assert (wrong.status, "is no condition on a record" in wrong.body) == (200, True)
    assert "is no time" in shown.looker.ask("/parked?since=yesterday").body


def test_tasks_are_counted_by_their_error_and_each_leads_to_its_tasks(shown: Shown) -> None:
    body = shown.looker.ask("/parked?by=error&target=shop%2Finvoices").body
    assert "ValueError: invoice # has no total" in body
    link = re.search(r'<th scope="row"><a href="([^"]+)"', body)
    assert link
    assert shown.looker.ask(html.unescape(link[1])).body.count("has no total") > INVOICES - 1


def test_a_task_is_shown_whole(shown: Shown) -> None:
    (row,) = shown.parked(where="id=3", target="shop/invoices")
    body = html.unescape(shown.looker.ask(f"/parked/{row['handle']}").body)
    for text in ('"name": "user 3"', "WARNING shop.invoices: invoice 3 of", "raise ValueError", "shop/invoices:3"):
        assert text in body
    assert shown.looker.ask("/parked/ffffffffff").status == 404


@pytest.mark.parametrize("name", hostile())
def test_hostile_payloads_are_shown_and_nothing_of_them_is_markup(shown: Shown, name: str) -> None:
    (row,) = shown.parked(target=OTHERS, error=name) or pytest.fail(name)
    for browser in (shown.looker, shown.operator):
        answered = browser.ask(f"/parked/{row['handle']}")
        assert answered.status == 200
        for bad in ("<img", "<b>", 'onfocus="doc', "\x1b", "\x07", "\u202e", "\u2066"):
            assert bad not in answered.body, bad
        assert "{{ 7 * 7 }}" in answered.body or not name.startswith("template")
        assert len(answered.body) < 300_000


def test_who_may_only_look_sees_no_form_and_is_refused(shown: Shown) -> None:
    (row,) = shown.parked(where="id=4", target="shop/invoices")
    pages = ["/parked", f"/parked/{row['handle']}", "/parked/confirm?do=discard", "/destinations", "/schedules"]
    for path in pages:
        body = shown.looker.ask(path).body
        assert "/acts/" not in body, path
    assert "only an operator may" in shown.looker.ask("/parked/confirm?do=discard").body.lower()
    acts = {"parked-change": {"do": "discard", "handle": row["handle"], "until": "0"}, "parked-edit": {}, "run-now": {}}
    for name, form in {**acts, "destination-open": {"destination": "eu"}}.items():
        answered = shown.looker.ask(f"/acts/{name}", {**form, "csrf": shown.looker.csrf()})
        assert answered.status == 403, name
    assert shown.parked(where="id=4", target="shop/invoices")


def test_a_task_is_edited_and_retried_and_done(shown: Shown) -> None:
    (row,) = shown.parked(where="id=1", target="shop/invoices")
    refused = shown.act("parked-edit", handle=row["handle"], record="{")
    assert refused[0][0] == "bad"
    assert "is not JSON" in refused[0][1]
    record = json.dumps({"id": 1, "user": {"id": 1, "name": "user 1"}, "total": 5}, indent=2).replace("\n", "\r\n")
    assert shown.act("parked-edit", handle=row["handle"], record=record)[0][0] == "good"
    fields = shown.fields(f"/parked/{row['handle']}")
    assert shown.act("parked-change", **{name: fields[name] for name in ("do", "handle", "until")})[0][0] == "good"
    wait_until(lambda: shown.book.exists() and "1 5" in shown.book.read_text(), READY_S, shown.master.tail)
    wait_until(lambda: not shown.parked(where="id=1", target="shop/invoices"), READY_S, shown.master.tail)
    kept = [json.loads(line) for line in (shown.master.state_dir / "edited.log").read_text().splitlines()]
    assert [entry["task"] for entry in kept] == ["shop/invoices:1"]
    audited = shown.looker.ask("/audit").body
    assert "parked.edit" in audited
    assert "operator at 127.0.0.1" in audited


def test_a_row_of_a_query_is_not_edited_here(shown: Shown) -> None:
    row = wait_until(lambda: shown.parked(target="shop/calls"), READY_S, shown.master.tail)[0]
    page = shown.operator.ask(f"/parked/{row['handle']}").body
    assert "It cannot be edited here: it is a row that a query of yours gives" in page
    assert "Edit the record" not in page
    told = shown.act("parked-edit", handle=row["handle"], record="{}")
    assert told[0][0] == "bad"
    assert "change it there, and retry this task" in told[0][1]


def test_all_that_are_discarded_were_counted_and_their_number_typed(shown: Shown) -> None:
    fields = shown.fields("/parked/confirm?do=discard&target=shop%2Finvoices&where=user.id%3D0")
    assert fields["expected"] == "3"
    told = shown.act("parked-change", **fields, typed="30")
    assert told == [["bad", "nothing was discarded: 3 tasks were counted, and '30' was typed"]]
    assert shown.act("parked-change", **fields, typed="3") == [["good", "shop/invoices: 3 discarded"]]
    assert not shown.parked(target="shop/invoices", where="user.id=0")
    assert shown.parked(target="shop/invoices", where="user.id=2")


def test_a_retry_at_a_rate_says_when_the_last_is_due(shown: Shown) -> None:
    fields = shown.fields("/parked/confirm?do=retry&target=shop%2Finvoices&where=user.id%3D2")
    assert fields["expected"] == "2"
    assert shown.act("parked-change", **fields, rate="soon")[0][0] == "bad"
    told = shown.act("parked-change", **fields, rate="1/h")
    assert told[0] == ["good", "shop/invoices: 2 due at 1/h"]
    assert "the last of 2 is due in 60 min" in told[1][1]


def test_destinations_are_opened_and_closed_by_hand_and_limits_shown(shown: Shown) -> None:
    wait_until(lambda: "nobody listens" in shown.looker.ask("/destinations").body, READY_S, shown.master.tail)
    body = shown.looker.ask("/destinations").body
    assert 'state bad">open' in body
    assert "<progress" in body
    assert "by server" in body
    told = shown.act("destination-open", destination="eu", target="shop/calls")
    assert told == [["good", "eu of shop/calls is open: its tasks wait until somebody closes it"]]
    wait_until(lambda: 'state held">held' in shown.looker.ask("/destinations").body, READY_S, shown.master.tail)
    assert shown.act("destination-close", destination="eu")[0][0] == "good"
    assert shown.act("destination-close", destination="<i>nowhere")[0][0] == "bad"


def test_a_schedule_is_run_now_and_its_progress_shown(shown: Shown) -> None:
    assert "shop/nightly" in shown.looker.ask("/schedules").body
    assert shown.act("run-now", target="shop/nightly")[0][0] == "good"
    wait_until(lambda: "4 of 10" in shown.looker.ask("/schedules").body, READY_S, shown.master.tail)


def test_events_are_filtered(shown: Shown) -> None:
    body = shown.looker.ask("/events?event=worker_ready&target=shop%2Fcalls&level=debug").body
    events = re.findall(r'class="what">([^<]+)<', body)
    assert events
    assert set(events) == {"worker ready"}
    assert "shop/invoices" not in body[body.index('id="events"') :]
    assert "Nothing like that" in shown.looker.ask("/events?event=%3Cb%3E").body
    assert "<b>" not in shown.looker.ask("/events?event=%3Cb%3E&target=%22%3E%3Cb%3E").body


# In a browser


@pytest.fixture
def page(shown: Shown, chromium: Browser) -> Iterator[Page]:
    """Somebody who has signed in to act, and whose scripts fail nowhere."""
    with shown.operator.looking(chromium) as found:
        yield found


def test_a_person_edits_and_retries_a_task_and_sees_it_done(shown: Shown, page: Page) -> None:
    page.goto("/parked?target=shop/invoices&where=id=5")
    page.click("tbody th a")
    assert "WARNING shop.invoices: invoice 5 of user 5" in page.inner_text("main")
    page.locator("#edit summary").press("Enter")
    record = json.loads(page.input_value("#record"))
    page.fill("#record", json.dumps({**record, "total": 99}))
    page.get_by_role("button", name="Change the record").press("Enter")
    assert "is changed; edited.log keeps what it was" in page.inner_text("#told")
    assert '"total": 99' in page.inner_text("pre >> nth=0")
    page.get_by_role("button", name="Retry now").click()
    assert "shop/invoices: 1 due now" in page.inner_text("#told")
    wait_until(lambda: "5 99" in shown.book.read_text(), READY_S, shown.master.tail)
    wait_until(lambda: not shown.parked(where="id=5", target="shop/invoices"), READY_S, shown.master.tail)
    page.goto("/parked?target=shop/invoices&where=id=5")
    assert "No parked task is like that" in page.inner_text("main")


def test_a_person_types_the_number_of_what_is_discarded(shown: Shown, page: Page) -> None:
    page.goto("/parked?target=shop/invoices&where=id=4")
    page.click("text=Discard all of these")
    assert page.inner_text("h1") == "Discard 1 task?"
    page.fill("#typed", "2")
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('typed').validity.patternMismatch")
    page.fill("#typed", "1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/parked?*")
    assert "shop/invoices: 1 discarded" in page.inner_text("#told")


def test_nothing_of_a_hostile_payload_runs(shown: Shown, page: Page) -> None:
    for row in shown.parked(target=OTHERS):
        page.goto(f"/parked/{row['handle']}")
        assert page.title() == f"Parked {row['handle']} · consumerd"
        assert page.locator("main img, main script").count() == 0
        assert page.evaluate("document.activeElement === document.body")
    page.goto(f"/parked?target={OTHERS}")
    assert page.title() == "Parked · consumerd"


def test_who_may_only_look_finds_nothing_to_act_with_on_any_page(shown: Shown, chromium: Browser) -> None:
    with shown.looker.looking(chromium) as page:
        for path in (*OF_TASKS, f"/parked/{shown.parked(target=OTHERS)[0]['handle']}"):
            page.goto(path)
            assert page.locator("form[action^='/acts/']").count() == 0, path


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_the_pages_fit_and_whoever_hears_them_finds_their_way(
    shown: Shown, chromium: Browser, viewport: ViewportSize, scheme: str
) -> None:
    handle = shown.parked(target="shop/invoices")[0]["handle"]
    with shown.operator.looking(chromium, viewport=viewport, color_scheme=scheme) as page:
        for path in (*OF_TASKS, f"/parked/{handle}", "/parked/confirm?do=discard"):
            page.goto(path)
            assert shortcomings(page) == [], path
