"""Consumers whose handler kills its own process at certain records, each in its way; the others are written down."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from consumerd import KafkaBaseConsumer, TableBaseConsumer

Record = dict[str, Any]


def handle(file: str, record: Record, attempt: int) -> None:
    """Die as the record says, or write its number."""
    die(record, attempt)
    with Path(file).open("a") as numbers:
        numbers.write(f"{record['number']}\n")


def die(record: Record, attempt: int) -> None:
    """As the record says, where it does."""
    match record.get("end"):
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "later" if attempt == 1:
            raise ValueError("not yet")
        case "later":
            os._exit(3)
        case "sleep":
            time.sleep(0.02)
        case str(end) if end.startswith("until "):
            while not Path(end.removeprefix("until ")).exists():
                time.sleep(0.02)


class OfTable(TableBaseConsumer):
    """Claims rows."""

    def handle_task(self, offset: int, record: Record) -> None:
        handle(self.config["file"], record, self.attempt)


class OfTopic(KafkaBaseConsumer):
    """Reads a topic."""

    def handle_task(self, offset: int, record: Record) -> None:
        handle(self.config["file"], record, self.attempt)


class OfTableByHooks(OfTable):
    """The same by the general loop."""

    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""
