"""A consumer of limited tasks, which writes down when it begins and ends one; its record says how long it takes."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from consumerd import TableBaseConsumer

BEAT_S = 0.005


class LimitedTasks(TableBaseConsumer):
    def pre_consume(self) -> None:
        self._book = os.open(self.config["book"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        threading.Thread(target=self._beat, daemon=True).start()

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        self._write("begin", record)
        time.sleep(record["task_s"])
        self._write("end", record)

    def _beat(self) -> None:
        """Write down how late this process is run, whenever it was never later."""
        latest_s, before = 0.0, time.monotonic()
        while True:
            time.sleep(BEAT_S)
            now = time.monotonic()
            if now - before - BEAT_S > latest_s:
                latest_s = now - before - BEAT_S
                os.write(self._book, f"late {latest_s}\n".encode())
            before = now

    def _write(self, what: str, record: dict[str, Any]) -> None:
        line = f"{what} {record['channel']} {record['number']} {os.getpid()} {time.monotonic_ns()}\n"
        os.write(self._book, line.encode())
