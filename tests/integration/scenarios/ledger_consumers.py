"""Consumers that write down each attempt: one JSON line with one write, before they do anything else.

The file is the key `ledger` of their `configs`. The consumers fail as their record says.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumerd import KafkaBaseConsumer


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of the ledger: which worker process began to handle what."""

    pid: int
    worker: int
    offset: int
    name: str


def read_attempts(ledger: Path) -> list[Attempt]:
    """The attempts so far, in order."""
    if not ledger.exists():
        return []
    whole_lines = ledger.read_text().rpartition("\n")[0].splitlines()
    return [Attempt(**json.loads(line)) for line in whole_lines]


class LedgerConsumer(KafkaBaseConsumer):
    """A record is `{"name": …, "fails": …}`; `fails` (default false) makes every attempt raise."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:  # a record is whatever JSON the topic holds
        name = record["name"]
        self._write_down(offset, name)
        if record.get("fails"):
            raise RuntimeError(f"the record {name} is made to fail")

    def _write_down(self, offset: int, name: str) -> None:
        line = json.dumps({"pid": os.getpid(), "worker": self.worker_id, "offset": offset, "name": name})
        ledger_fd = os.open(self.config["ledger"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(ledger_fd, f"{line}\n".encode())
        finally:
            os.close(ledger_fd)
