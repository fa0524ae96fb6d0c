"""A master with a page, and who visits it: as a program that asks as a browser does, or in a real browser."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from integration.scenarios.running import READY_S, Running, environment, running
from servers.ports import free_port
from servers.waiting import wait_until

OPERATOR, LOOKER = "a token to act with", "a token to look with"
SOON_MS = 20_000
WIDE, NARROW = ViewportSize(width=1280, height=800), ViewportSize(width=375, height=812)


@contextlib.contextmanager
def page_served(
    directory: Path, groups: Mapping[str, Any], dashboard: Mapping[str, Any], **settings: Any
) -> Iterator[tuple[Running, int]]:
    """A master whose page answers, and its port. dashboard, settings: what the configuration has besides."""
    port, config = free_port(), directory / "config.json"
    own = {"listen": f"127.0.0.1:{port}", "operator_token": "${OPERATOR}", "read_only_token": "${LOOKER}", **dashboard}
    config.write_text(json.dumps({**groups, "consumerd": {"stop_timeout": 2, "dashboard": own, **settings}}))
    env = environment(OPERATOR=OPERATOR, LOOKER=LOOKER)
    with running(str(config), state_dir=directory / "state", log=directory / "log", env=env) as master:
        wait_until(lambda: Visitor(port).ask("/livez").status == 200, READY_S, lambda: f"it answers{master.tail()}")
        yield master, port


class Answered(NamedTuple):
    status: int
    body: str
    headers: Message


class Visitor:
    """Asks as a browser does: with a cookie, and with where a form comes from. token: to sign in with."""

    def __init__(self, port: int, token: str = "") -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.cookie = ""
        if token:
            answered = self.ask("/sign-in", {"token": token})
            assert answered.status == 303, answered.body
            self.cookie = answered.headers["set-cookie"].partition(";")[0]

    def ask(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Answered:
        """Redirects are not followed."""
        own = {"Cookie": self.cookie} | ({} if form is None else {"Origin": self.address})
        given = {name.capitalize(): value for name, value in headers.items()}
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.address + path, data, {**own, **given})
        try:
            with OPENER.open(request, timeout=READY_S) as answer:
                return Answered(answer.status, answer.read().decode(), answer.headers)
        except urllib.error.HTTPError as refused:
            return Answered(refused.code, refused.read().decode(), refused.headers)
        except OSError as error:
            return Answered(0, str(error), Message())

    def csrf(self) -> str:
        """The secret of this session's forms."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.ask("/").body)
        assert found
        return found[1]

    @contextlib.contextmanager
    def looking(self, chromium: Browser, **context: Any) -> Iterator[Page]:
        """In a real browser, in the same session; it has nothing to complain of but answers that are no pages."""
        with chromium.new_context(base_url=self.address, **context) as browser:
            if self.cookie:
                name, _, value = self.cookie.partition("=")
                browser.add_cookies([{"name": name, "value": value, "url": self.address}])
            page, complaints = browser.new_page(), list[str]()
            page.set_default_timeout(SOON_MS)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
            yield page
            assert [told for told in complaints if not told.startswith("Failed to load resource")] == []


class _Unfollowed(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **keywords: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Unfollowed)


def shortcomings(page: Page) -> list[str]:
    """What keeps people from using a page: what axe finds, and what does not fit into the window."""
    found = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in Axe().run(page).response["violations"]]
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, *([f"{overflow} pixels too wide"] if overflow > 0 else [])]
