"""What consumers log by `logging`: in the layout of the log, with whose it is; a flood is folded, and none is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumerd.events.folding import MOST
from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import Running, environment, running
from servers.waiting import wait_until

SOON_S = 60.0
FLOOD = 300

MODULE = """
import logging
from consumerd import LogHandler, TableBaseConsumer

logging.getLogger("shop.imports").warning("imported with %s", "s3cret-word")

class Plain(TableBaseConsumer):
    def handle_task(self, offset, record):
        logger = logging.getLogger("shop.mails")
        for number in range(record["lines"]):
            logger.warning("mail %d is late, %s", number, self.config["token"])
        logger.info("too little to be written")
        try:
            {}["x"]
        except KeyError:
            logger.exception("no x")

class Chosen(TableBaseConsumer):
    def pre_consume(self):
        logging.basicConfig(handlers=[LogHandler()], level="INFO")

    def handle_task(self, offset, record):
        logging.getLogger("shop.chosen").info("chosen")

class Own(TableBaseConsumer):
    def pre_consume(self):
        logging.basicConfig(format="own layout: %(message)s")

    def handle_task(self, offset, record):
        logging.getLogger("shop.own").warning("own")
"""


class Shop:
    """A master whose consumers log."""

    def __init__(self, master: Running) -> None:
        self.master = master

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON; the last one may be half written yet."""
        whole, _, _ = self.master.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith('{"timestamp')]

    def logged(self, logger: str, event: str = "line_logged") -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event and line["logger"] == logger]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "mails.py").write_text(MODULE)
    (tmp_path / "token").write_text("s3cret-word")
    entries = []
    for name, record in (("Plain", {"lines": FLOOD}), ("Chosen", {}), ("Own", {})):
        database = str(tmp_path / f"{name}.sqlite")
        create_table(database)
        enqueue(database, [record])
        entries.append({"module": "mails", "class": name, "configs": {"database": database, "token": "file:token"}})
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"shop": entries, "consumerd": {"log": {"format": "json"}}}))
    env = environment() | {"PYTHONPATH": str(tmp_path)}
    with running(str(config), state_dir=tmp_path / "state", log=tmp_path / "log", env=env) as master:
        yield Shop(master)


def test_lines_of_consumers_stand_in_the_layout_of_the_log(shop: Shop) -> None:
    wait_until(lambda: shop.logged("shop.mails") and shop.logged("shop.chosen"), SOON_S, shop.master.tail)
    wait_until(lambda: [line for line in shop.logged("shop.mails") if "traceback" in line], SOON_S, shop.master.tail)
    first, *_, raised = shop.logged("shop.mails")
    whose = {"consumer": "shop/Plain", "worker_id": 0, "task": "tasks:1", "logger": "shop.mails"}
    assert first | whose | {"level": "warning", "message": "mail 0 is late, ***"} == first
    assert raised | whose | {"level": "error", "message": "no x"} == raised
    assert raised["traceback"].endswith("KeyError: 'x'")
    (chosen,) = shop.logged("shop.chosen")
    assert chosen | {"level": "info", "message": "chosen", "consumer": "shop/Chosen", "task": "tasks:1"} == chosen
    wait_until(lambda: "own layout: own" in shop.master.log.read_text(), SOON_S, shop.master.tail)
    imported = shop.logged("shop.imports")
    assert {line["consumer"] for line in imported} == {"shop/Plain", "shop/Chosen", "shop/Own"}
    assert not any("worker_id" in line for line in imported)
    assert shop.logged("shop.own") == []
    assert "s3cret-word" not in shop.master.log.read_text()
    shown = shop.master.verb("logs", "shop/Plain").stdout.decode()
    assert ' warning shop/Plain line_logged worker_id=0 logger=shop.mails message="mail 0 is late, ***"' in shown


def test_how_many_were_left_out_is_known_though_their_worker_was_killed(shop: Shop) -> None:
    wait_until(lambda: [line for line in shop.logged("shop.mails") if "traceback" in line], SOON_S, shop.master.tail)
    (worker,) = [slot for slot in shop.master.slots() if slot.consumer == "shop/Plain"]
    shop.master.kill_worker(worker)
    assert FLOOD - MOST in _folded(shop)


def _folded(shop: Shop) -> list[int]:
    """How many lines of each pool are counted."""
    lines = shop.master.verb("metrics").stdout.decode().splitlines()
    return [int(float(line.split()[-1])) for line in lines if line.startswith("consumerd_log_lines_folded_total")]


def test_a_flood_is_folded_and_each_line_of_it_is_written_or_counted_by_the_end(shop: Shop) -> None:
    wait_until(lambda: [line for line in shop.logged("shop.mails") if "traceback" in line], SOON_S, shop.master.tail)
    assert shop.master.stop() == 0
    written = [line for line in shop.logged("shop.mails") if line["level"] == "warning"]
    (folded,) = shop.logged("shop.mails", "lines_folded")
    assert (len(written), folded["lines"]) == (MOST, FLOOD - MOST)
    assert folded["last_message"] == f"mail {FLOOD - 1} is late, ***"
