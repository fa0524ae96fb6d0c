"""A consumer whose handler forks, run in the foreground: `python forking_consumer.py LEDGER HOW`."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from typing import Any, ClassVar

from consumerd import BaseConsumer

TASKS = 12


class Forking(BaseConsumer):
    """Writes a line a task, and forks: the child exits, raises, returns, or is terminated."""

    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> None:
        ledger, how = sys.argv[1:]
        with open(ledger, "a") as lines:  # noqa: PTH123 - one write, appended
            lines.write(f"{offset} {os.getpid()}\n")
        if how == "terminated":
            child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            child.start()
            child.terminate()
            child.join()
            return
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        elif how == "exits":
            sys.exit(0)
        elif how == "raises":
            raise RuntimeError("in the child")

    def can_stop_consume(self) -> bool:
        return self.number_of_consumed >= TASKS


if __name__ == "__main__":
    Forking(0, count=TASKS).consume()
