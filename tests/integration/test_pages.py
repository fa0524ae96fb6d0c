"""The examples of pages that show a consumer before and after, as a reader copies them into a folder."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from sqlalchemy import create_engine, text

from integration.scenarios.copied_examples import DEADLINE_S, copy_examples, python
from integration.scenarios.running import environment, running
from servers.kafka import KafkaServer, TopicFactory
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
    "logins_store.py": f"{_NOTE}\ndef keep_newest(uid, now):\n    note(f'{{uid}} {{now}}')\n",
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
        for name, content in _STUBS.items():
            (tmp_path / name).write_text(content)
        copy_examples(DOCS / page, tmp_path)
        return tmp_path

    return fill


def rewritten(file: Path, *changes: tuple[str, str]) -> None:
    """As a reader changes an example before it runs; each text stands in it."""
    text = file.read_text()
    for old, new in changes:
        assert old in text, (file.name, old)
        text = text.replace(old, new)
    file.write_text(text)


def noted(folder: Path) -> list[str]:
    file = folder / "noted"
    return file.read_text().splitlines() if file.exists() else []


def handle_all(folder: Path, config: str, expected: int) -> None:
    """Run this configuration until so much was noted."""
    with running(config, state_dir=folder / "state", log=folder / "log", env=environment()) as master:
        wait_until(lambda: len(noted(folder)) >= expected, DEADLINE_S, lambda: f"{noted(folder)}{master.tail()}")
        assert master.stop() == 0


@pytest.mark.parametrize(
    ("page", "config", "lines"),
    [
        (
            "from-supervisord.md",
            "mails.toml",
            ["shop/MailConsumer: mails:MailConsumer, source query, 4 workers"],
        ),
        (
            "from-supervisord.md",
            "logins.toml",
            ["gop/LoginConsumer: logins:LoginConsumer, source kafka, 4 workers"],
        ),
        (
            "from-celery.md",
            "receipts.toml",
            ["shop/ReceiptConsumer: receipts:ReceiptConsumer, source table, 4 workers"],
        ),
        (
            "from-celery.md",
            "shop_tasks.toml",
            [
                "shop/ReceiptConsumer: shop_tasks:ReceiptConsumer, source table, 4 workers",
                "shop/LabelConsumer: shop_tasks:LabelConsumer, source table, 2 workers",
            ],
        ),
        (
            "from-faststream.md",
            "logins.toml",
            ["gop/LoginConsumer: logins:LoginConsumer, source kafka, 4 workers"],
        ),
        (
            "many-at-a-time.md",
            "callbacks.toml",
            ["payments/CallbackConsumer: callbacks:CallbackConsumer, source kafka, 2 workers"],
        ),
    ],
)
def test_the_configuration_of_a_page_passes_its_check_without_a_remark(
    folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, page: str, config: str, lines: list[str]
) -> None:
    monkeypatch.setenv("BROKERS", "localhost:9092")
    monkeypatch.setenv("SHOP_DATABASE", "mysql://app:secret@localhost/shop")
    here = folder(page)
    done = python(here, "-m", "consumerd", "check", config, "--no-probe")
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, lines, "")


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


def test_a_mail_that_is_put_off_waits_and_is_not_called_failed(folder: Callable[[str], Path]) -> None:
    here = folder("from-supervisord.md")
    rewritten(here / "mails.toml", ("back_off_time = 10 ", "back_off_time = 1 "))
    fails_once = "note(address)\n    if open('noted').read().count(address) < 2:\n        raise OSError('away')"
    rewritten(here / "mail_service.py", ("note(address)", fails_once))
    with contextlib.closing(sqlite3.connect("shop.sqlite", isolation_level=None)) as database:
        database.execute("CREATE TABLE mail (id INTEGER PRIMARY KEY, address TEXT, state TEXT DEFAULT 'new')")
        database.execute("CREATE TABLE seen (state TEXT)")
        database.execute("CREATE TRIGGER see UPDATE ON mail BEGIN INSERT INTO seen VALUES (new.state); END")
        database.execute("INSERT INTO mail (address) VALUES ('late@example.org')")
        handle_all(here, "mails.toml", 2)
        assert database.execute("SELECT state FROM seen").fetchall() == [("waiting",), ("sent",)]


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


def test_the_same_class_sends_mails_of_a_table_on_mariadb(folder: Callable[[str], Path], mariadb_url: str) -> None:
    here = folder("from-supervisord.md")
    rewritten(here / "mails.toml", ('database = "shop.sqlite"', f'database = "{mariadb_url}"'))
    mails = [{"address": f"player-{number}@example.org"} for number in range(MAILS)]
    engine = create_engine(mariadb_url)
    with engine.begin() as database:
        columns = "id INTEGER PRIMARY KEY AUTO_INCREMENT, address TEXT, state VARCHAR(10) DEFAULT 'new'"
        database.execute(text(f"CREATE TABLE mail ({columns})"))
        database.execute(text("INSERT INTO mail (address) VALUES (:address)"), mails)
    handle_all(here, "mails.toml", MAILS)
    assert sorted(noted(here)) == sorted(mail["address"] for mail in mails)
    with engine.begin() as database:
        assert database.execute(text("SELECT DISTINCT state FROM mail")).scalars().all() == ["sent"]
    engine.dispose()


def test_a_kafka_loop_under_supervisord_and_its_consumer_do_the_same_and_the_consumer_keeps_what_fails(
    folder: Callable[[str], Path], kafka: KafkaServer, kafka_topic: TopicFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, topic = folder("from-supervisord.md"), kafka_topic(partitions=4)
    monkeypatch.setenv("BROKERS", kafka.brokers)
    rewritten(here / "login_loop.py", ("login_task", topic), ("login_consumer", f"{topic}-script"))
    rewritten(here / "logins.toml", ("login_task", topic), ("login_consumer", topic))
    producer = Producer({"bootstrap.servers": kafka.brokers})
    for number in range(MAILS):
        producer.produce(topic, b'{"uid": %d, "now": %d}' % (number, 2 * number), partition=number % 4)
    producer.produce(topic, b"no JSON", partition=0)
    assert producer.flush(DEADLINE_S) == 0
    logins = sorted(f"{number} {2 * number}" for number in range(MAILS))
    said = here / "stderr"
    with (
        said.open("wb") as stderr,
        subprocess.Popen([sys.executable, "login_loop.py"], env=environment(), stderr=stderr) as script,
    ):
        try:
            wait_until(lambda: sorted(noted(here)) == logins, DEADLINE_S, lambda: f"{noted(here)}")
            wait_until(lambda: "JSONDecodeError" in said.read_text(), DEADLINE_S, said.read_text)
        finally:
            script.terminate()
    (here / "noted").unlink()
    with running("logins.toml", state_dir=here / "state", log=here / "log", env=environment()) as master:
        wait_until(lambda: sorted(noted(here)) == logins, DEADLINE_S, lambda: f"{noted(here)}{master.tail()}")
        (parked,) = wait_until(master.parked, DEADLINE_S, "the message that is no JSON")
        assert "the payload is not JSON" in parked["error"]
        assert master.stop() == 0


def test_tasks_of_several_kinds_stand_in_one_table_on_mariadb_and_in_the_order_s_transaction(
    folder: Callable[[str], Path], mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder("from-celery.md")
    monkeypatch.setenv("SHOP_DATABASE", mariadb_url)
    made = python(here, "-m", "consumerd", "table", "shop_tasks.toml", "shop/ReceiptConsumer", "--create")
    assert made.returncode == 0, made.stderr
    engine = create_engine(mariadb_url)
    with engine.begin() as database:
        database.execute(text("ALTER TABLE tasks ADD COLUMN kind VARCHAR(32) NOT NULL"))
        database.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    url = engine.url.render_as_string(hide_password=False)
    session = f"Session(create_engine({url!r}))"
    buy = f"from sqlalchemy import create_engine; from sqlalchemy.orm import Session; import shop_tasks; s = {session}"
    done = python(here, "-c", f"{buy}; [shop_tasks.buy(s, order) for order in (7, 8, 9)]")
    assert done.returncode == 0, done.stderr
    handle_all(here, "shop_tasks.toml", 6)
    assert sorted(noted(here)) == ["7", "7", "8", "8", "9", "9"]
    with engine.begin() as database:
        assert database.execute(text("SELECT DISTINCT state FROM tasks")).scalars().all() == ["done"]
    engine.dispose()
