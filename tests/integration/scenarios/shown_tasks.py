"""Consumers whose failures, destinations and runs a person looks at in the browser."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consumerd import BaseConsumer, ScheduleBaseConsumer, SQLBaseConsumer

HOSTILE = {
    "script": "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">",
    "attribute": '" autofocus onfocus="document.title = \'ran\'" x="',
    "template": "{{ 7 * 7 }}{% raw %}",
    "right_to_left": "\u202egnp.exe\u202c \u2066hidden\u2069",
    "control": "a\x00b\x1b[31mred\x07\r\n\u2028line",
}
LOG = logging.getLogger("shop.invoices")


class Invoices(BaseConsumer):
    """Refuses invoices without a total, and says so in its log; one that is mended is written into a book."""

    def iterate_task(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number in range(int(self.config["invoices"])):
            yield number, {"id": number, "user": {"id": number % 3, "name": f"user {number}"}}
        while not self.can_stop_consume():
            time.sleep(0.02)

    def task_id(self, record: dict[str, Any]) -> str:
        return str(record["id"])

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        LOG.warning("invoice %s of %s", record["id"], record["user"]["name"])
        if "total" not in record:
            raise ValueError(f"invoice {record['id']} has no total")
        with Path(self.config["book"]).open("a") as book:
            book.write(f"{record['id']} {record['total']}\n")


class Nightly(ScheduleBaseConsumer):
    """Goes on until it is stopped, a tenth of its way at a time."""

    def handle_task(self, offset: int, record: Any) -> None:
        for part in range(record.cursor or 0, 10):
            self.checkpoint(part + 1, done=part + 1, total=10)
            while part == 3 and not self.can_stop_consume():
                time.sleep(0.02)


class Calls(SQLBaseConsumer):
    """Calls two servers, one of which is down."""

    rows = 0

    def get_next_batch(self) -> list[dict[str, Any]]:
        self.rows += 2
        time.sleep(0.05)
        return [
            {"id": number, "server": "eu" if number % 2 else "us"}
            for number in range(max(0, self.rows - 40), self.rows)
        ]

    def task_destination(self, record: dict[str, Any]) -> str:
        return str(record["server"])

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        if record["server"] == "us":
            raise ConnectionRefusedError("nobody listens")
