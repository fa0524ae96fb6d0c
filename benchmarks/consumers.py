"""The consumers that the benchmarks run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.hello import HELLO
from consumerd import BaseConsumer, KafkaBaseConsumer


class Announcing(BaseConsumer):
    """Numbered tasks from memory, a millisecond each; tells the benchmark of its first one."""

    SOURCE: ClassVar[str] = "memory"
    _has_announced = False

    def handle_task(self, offset: int, record: Any) -> None:
        if not self._has_announced:
            self._has_announced = True
            fifo = os.open(Path(os.environ["BENCHMARK_DIRECTORY"]) / "hello", os.O_WRONLY)
            os.write(fifo, HELLO.pack(self.worker_id, os.getpid(), time.monotonic_ns()))
            os.close(fifo)
        time.sleep(0.001)


class Idle(KafkaBaseConsumer):
    """Subscribed, with nothing to do."""

    def handle_task(self, offset: int, record: Any) -> None:
        raise AssertionError("the topic is empty")
