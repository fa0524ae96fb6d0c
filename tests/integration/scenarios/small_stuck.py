"""Consumers for the tests of the watchdog: each way in which a handler can hang.

The first that hangs leaves a mark, and the next process of the slot goes on.
"""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path

from consumerd import SQLBaseConsumer, TableBaseConsumer
from integration.scenarios.small_pools import Counting, Record

HANG_AT = 3
MUTEX_BYTES = 64


__all__ = ["Counting"]


class Stuck(Counting):
    """Its fourth task hangs, once."""

    def handle_task(self, offset: int, record: Record) -> None:
        if offset == HANG_AT and not Path(self.config["mark"]).exists():
            Path(self.config["mark"]).touch()
            self.hang()

    def hang(self) -> None:
        while True:
            time.sleep(3600)


class Looping(Stuck):
    """It is busy for ever."""

    def hang(self) -> None:
        while True:
            pass


class Holding(Stuck):
    """It blocks in C code, and holds the lock of the interpreter: no other thread of the process runs."""

    def hang(self) -> None:
        libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(MUTEX_BYTES)
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)


class Deadlocked(Stuck):
    """Two threads, two locks, in the wrong order."""

    def hang(self) -> None:
        first, second, both = threading.Lock(), threading.Lock(), threading.Barrier(2)

        def other_thread() -> None:
            with second:
                both.wait()
                with first:
                    pass

        threading.Thread(target=other_thread, daemon=True).start()
        with first:
            both.wait()
            with second:
                pass


class Telling(Stuck):
    """It takes long, and says that it goes on."""

    def hang(self) -> None:
        for _ in range(40):
            time.sleep(0.1)
            self.progress()
        Path(self.config["mark"] + ".done").touch()


class Claiming(TableBaseConsumer):
    """Writes down each row of a table; the one of number HANG_AT hangs, once."""

    def handle_task(self, offset: int, record: Record) -> None:
        if record["number"] == HANG_AT and not Path(self.config["mark"]).exists():
            Path(self.config["mark"]).touch()
            while True:
                time.sleep(3600)
        with Path(self.config["mark"] + ".rows").open("a") as rows:
            rows.write(f"{record['number']}\n")


class Asking(SQLBaseConsumer):
    """Its second query hangs."""

    has_asked = False

    def get_next_batch(self) -> list[Record]:
        while self.has_asked:
            time.sleep(3600)
        self.has_asked = True
        return [{"id": 1}]

    def handle_task(self, offset: int, record: Record) -> None:
        return None
