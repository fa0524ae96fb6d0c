"""The page over HTTP, as programs see it: who may look and act, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.errors import ConsumerdError
from consumerd.wire.control import call
from integration.scenarios.page_visitors import LOOKER, OPENER, OPERATOR, Visitor, page_served
from integration.scenarios.running import READY_S, Running, environment
from integration.scenarios.small_masters import entry, pool, wait_running
from servers.waiting import wait_until


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, int]]:
    """A master with a page, for all tests of this file."""
    directory = tmp_path_factory.mktemp("page")
    (directory / "look.token").write_text(LOOKER)
    more = {"read_only_token": "file:look.token", "hosts": ["consumers.example.org"], "proxies": ["127.0.0.1"]}
    with page_served(directory, {"small": [entry("Counting")]}, more) as (master, port):
        wait_running(master, 1)
        yield master, port


@pytest.fixture
def operator(served: tuple[Running, int]) -> Visitor:
    return Visitor(served[1], OPERATOR)


@pytest.fixture
def looker(served: tuple[Running, int]) -> Visitor:
    return Visitor(served[1], LOOKER)


def test_who_has_not_signed_in_sees_nothing(served: tuple[Running, int]) -> None:
    browser = Visitor(served[1])
    answered = browser.ask("/")
    assert (answered.status, answered.headers["location"]) == (303, "/sign-in")
    assert browser.ask("/live/").status == 401
    assert browser.ask("/acts/pause", {"target": "small"}).status == 401
    assert browser.ask("/sign-in", {"token": "wrong"}).status == 401


def test_every_answer_says_what_a_browser_may_not_do(looker: Visitor) -> None:
    for path in ("/", "/sign-in"):
        answered = looker.ask(path)
        assert answered.status == 200, answered.body
        headers = answered.headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_the_cookie_is_kept_from_scripts_and_other_hosts(served: tuple[Running, int]) -> None:
    browser = Visitor(served[1])
    plain = browser.ask("/sign-in", {"token": OPERATOR}).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(plain.split("; "))
    proxied = browser.ask("/sign-in", {"token": OPERATOR}, **{"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "Secure" in proxied.split("; ")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "", "localhost.evil.example"])
def test_another_name_is_refused(operator: Visitor, host: str) -> None:
    assert operator.ask("/", host=host).status in (400, 421)


def test_our_names_are_answered(operator: Visitor) -> None:
    assert operator.ask("/", host="consumers.example.org").status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1"])
def test_a_form_of_another_page_is_refused(served: tuple[Running, int], operator: Visitor, origin: str) -> None:
    assert operator.ask("/acts/pause", {"target": "small", "csrf": operator.csrf()}, origin=origin).status == 403
    assert not pool(served[0], "counting")["is_paused"]


def test_a_form_without_its_secret_is_refused_and_so_is_who_may_only_look(
    served: tuple[Running, int], operator: Visitor, looker: Visitor
) -> None:
    assert operator.ask("/acts/pause", {"target": "small"}).status == 403
    assert operator.ask("/acts/pause", {"target": "small", "csrf": "wrong"}).status == 403
    assert looker.ask("/acts/pause", {"target": "small", "csrf": operator.csrf()}).status == 403
    assert not pool(served[0], "counting")["is_paused"]


def test_an_operator_acts_and_that_is_kept_in_the_audit_log(served: tuple[Running, int], operator: Visitor) -> None:
    master, _ = served
    form = {"target": "small/counting", "csrf": operator.csrf(), "back": "//evil.example/"}
    answered = operator.ask("/acts/pause", form)
    assert (answered.status, answered.headers["location"]) == (303, "/")
    assert "small/counting: paused" in operator.ask("/").body
    assert "small/counting: paused" not in operator.ask("/").body
    assert pool(master, "counting")["paused"]["by"].endswith("(operator at 127.0.0.1)")
    told = json.loads(operator.ask("/acts/resume", form, accept="application/json").body)["told"]
    assert told == [["good", "small/counting: resumed"]]
    unknown = json.loads(operator.ask("/acts/resume", {**form, "target": "<b>"}, accept="application/json").body)
    assert unknown["told"][0][0] == "bad"
    entries = [json.loads(line) for line in (master.state_dir / "audit.log").read_text().splitlines()]
    acts = [(each["method"], each["via"]) for each in entries if "via" in each]
    assert acts == [(method, "operator at 127.0.0.1") for method in ("pause", "resume", "resume")]


def test_who_signs_out_is_out(operator: Visitor) -> None:
    assert operator.ask("/").status == 200
    assert operator.ask("/sign-out", {}).status == 303
    assert operator.ask("/").status == 303


def test_a_stream_brings_the_parts_of_the_page(looker: Visitor) -> None:
    request = urllib.request.Request(looker.address + "/live/", headers={"Cookie": looker.cookie})
    with OPENER.open(request, timeout=READY_S) as stream:
        first = json.loads(stream.readline().removeprefix(b"data: "))
        assert {"standing", "totals", "pool-small/counting"} <= first["parts"].keys()
        told = (json.loads(line.removeprefix(b"data: ")) for line in stream if line.startswith(b"data: "))
        later = next(each["parts"] for each in told if "pool-small/counting" in each.get("parts", {}))
        assert "away" not in later


def test_a_token_that_is_written_out_or_short_is_a_mistake(tmp_path: Path) -> None:
    for token, sentence in (("written out and long enough", "is written out"), ("${SHORT}", "16 characters or more")):
        config = tmp_path / "config.json"
        dashboard = {"operator_token": token}
        config.write_text(json.dumps({"small": [entry("Counting")], "consumerd": {"dashboard": dashboard}}))
        command = [sys.executable, "-m", "consumerd", "check", str(config)]
        done = subprocess.run(command, env={**environment(), "SHORT": "s" * 15}, capture_output=True, check=False)
        assert done.returncode == 2
        assert sentence in done.stderr.decode()
        assert token not in done.stderr.decode().replace("${SHORT}", "")


def test_the_pages_of_a_pool_and_a_worker_show_what_runs(operator: Visitor, looker: Visitor) -> None:
    for browser in (operator, looker):
        body = browser.ask("/pools/small/counting").body
        assert "small_pools:Counting" in body
        assert ('action="/acts/restart"' in body) is (browser is operator)
        assert browser.ask("/pools/small/counting/workers/0").status == 200
        stacks = browser.ask("/pools/small/counting/workers/0/stacks").body
        assert "consumerd/worker/process.py" in stacks
    for path in ("/pools/small/nobody", "/pools/small/counting/workers/99", "/pools/%3Cscript%3E/x"):
        answered = looker.ask(path)
        assert answered.status == 404
        assert "<script>" not in answered.body.replace('<script src="', "")


def test_a_worker_is_asked_for_its_stacks_until_there_is_no_room_for_more(served: tuple[Running, int]) -> None:
    master, _ = served
    done = master.verb("stacks", "small/counting#0")
    assert b"consumerd/worker/process.py" in done.stdout
    assert b"has no worker 99" in master.verb("stacks", "small/counting#99").stderr
    assert b"there is no worker 'nobody'" in master.verb("stacks", "nobody").stderr
    refusal = ""
    while not refusal:
        try:
            call(master.state_dir / "control.sock", "stacks", {"worker": "small/counting#0"})
        except ConsumerdError as error:
            refusal = str(error)
    assert "too often" in refusal


def test_the_configuration_in_force_is_shown_without_secrets_and_with_what_a_reload_changed(
    served: tuple[Running, int],
    looker: Visitor,
) -> None:
    master, _ = served
    config = next(Path(master.log).parent.glob("config.json"))
    document = json.loads(config.read_text())
    document["small"][0]["configs"] |= {"workers": 2, "own_password": "in the clear", "own_url": "a://u:clear@h/d"}
    config.write_text(json.dumps(document))
    assert master.verb("reload", "--wait").returncode == 0
    (shown,) = call(master.state_dir / "control.sock", "configuration", {"target": "small/counting"})
    assert shown["configs"]["own_password"] == '"***"'
    assert shown["configs"]["own_url"] == '"a://u:***@h/d"'
    (change,) = shown["changes"]
    assert {"key": "workers", "before": "1", "after": "2"} in change["keys"]

    def shows_the_reload() -> bool:
        body = looker.ask("/pools/small/counting").body
        assert "in the clear" not in body
        assert "clear@" not in body
        return "by the reload at" in body

    wait_until(shows_the_reload, READY_S, "the page knows of the reload within a second or so")
