"""The examples of pages that show a consumer before and after, as a reader copies them into a folder."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from integration.scenarios.copied_examples import DEADLINE_S, copy_examples, python
from integration.scenarios.running import environment, running
from servers.waiting import wait_until

DOCS = Path(__file__).parents[2] / "docs"
MAILS = 40

_NOTE = """
def note(line):
    with open("noted", "a") as file:
        file.write(f"{line}\\n")
"""
_STUBS = {
    "mail_service.py": f"{_NOTE}\ndef send(address):\n    note(address)\n",
    "grants.py": "async def keep_newest(uid, now):\n    pass\n",
    "requests.py": f"""{_NOTE}
class RequestException(OSError):
    pass

class Answer:
    def raise_for_status(self):
        pass

def post(url, json, timeout):
    note(json["order"])
    return Answer()
""",
}
"""What the examples import and nobody has: it notes what it is asked for, in the working directory."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The working directory, with the examples of a page."""
    monkeypatch.chdir(tmp_path)

    def fill(page: str) -> Path:
        for name, text in _STUBS.items():
            (tmp_path / name).write_text(text)
        copy_examples(DOCS / page, tmp_path)
        return tmp_path

    return fill


def noted(folder: Path) -> list[str]:
    file = folder / "noted"
    return file.read_text().splitlines() if file.exists() else []


def handle_all(folder: Path, config: str, expected: int) -> None:
    """Run this configuration until so much was noted."""
    with running(config, state_dir=folder / "state", log=folder / "log", env=environment()) as master:
        wait_until(lambda: len(noted(folder)) >= expected, DEADLINE_S, lambda: f"{noted(folder)}{master.tail()}")
        assert master.stop() == 0


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("from-supervisord.md", "shop/MailConsumer: mails:MailConsumer, source query, 4 workers"),
        ("from-celery.md", "shop/ReceiptConsumer: receipts:ReceiptConsumer, source table, 4 workers"),
        ("from-faststream.md", "gop/LoginConsumer: logins:LoginConsumer, source kafka, 4 workers"),
        ("many-at-a-time.md", "payments/CallbackConsumer: callbacks:CallbackConsumer, source kafka, 2 workers"),
    ],
)
def test_the_configuration_of_a_page_passes_its_check_without_a_remark(
    folder: Callable[[str], Path], page: str, line: str
) -> None:
    here = folder(page)
    [config] = here.glob("*.toml")
    done = python(here, "-m", "consumerd", "check", config.name, "--no-probe")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{line}\n", "")


def test_a_loop_under_supervisord_and_its_consumer_send_the_same_mails(folder: Callable[[str], Path]) -> None:
    here = folder("from-supervisord.md")
    sent = "SELECT count(*) FROM mail WHERE state = 'sent'"
    mails = [(f"player-{number}@example.org",) for number in range(MAILS)]
    with contextlib.closing(sqlite3.connect("shop.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, address TEXT, state TEXT DEFAULT 'new')")
        database.executemany("INSERT INTO mail (address) VALUES (?)", mails)
        with subprocess.Popen([sys.executable, "mailer.py", "3"], env=environment()) as script:
            wait_until(
                lambda: database.execute(sent).fetchone() == (MAILS // 4,), DEADLINE_S, "its fourth of the mails"
            )
            script.terminate()
        handle_all(here, "mails.toml", MAILS)
        assert sorted(noted(here)) == sorted(address for (address,) in mails)
        assert database.execute("SELECT DISTINCT state FROM mail").fetchall() == [("sent",)]


def test_a_receipt_is_a_row_of_the_order_s_own_transaction(folder: Callable[[str], Path]) -> None:
    here = folder("from-celery.md")
    made = python(here, "-m", "consumerd", "table", "receipts.toml", "shop/ReceiptConsumer", "--create")
    assert made.returncode == 0, made.stderr
    with contextlib.closing(sqlite3.connect("shop.sqlite")) as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    buy = "import receipts, sqlite3; [receipts.buy(sqlite3.connect('shop.sqlite'), order) for order in (7, 8, 9)]"
    assert python(here, "-c", buy).returncode == 0
    handle_all(here, "receipts.toml", 3)
    assert sorted(noted(here)) == ["7", "8", "9"]
