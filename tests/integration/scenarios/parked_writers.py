"""Processes that write the embedded parking store: `python -m integration.scenarios.parked_writers MODE FOLDER …`.

many FOLDER N    forks N writers at once, each of which parks `TASKS_A_WRITER` tasks, one a transaction; one that had
                 to wait too long, on a busy machine, tries again, as a worker does
hold FOLDER      begins a transaction, writes a row, says so on stdout, and stays in it
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from sqlalchemy import Connection

from consumerd.errors import StoreAwayError
from consumerd.model.parked import ParkedTask
from consumerd.parking import claims
from consumerd.parking.opening import open_store
from consumerd.parking.store import ParkingStore
from contracts.parking_store import parked_task

TASKS_A_WRITER = 5


def write(folder: Path, writer: int) -> None:
    store = open_store(None, folder)
    for number in range(TASKS_A_WRITER):
        task = parked_task(writer * TASKS_A_WRITER + number)
        while not has_parked(store, task):
            pass
    store.close()


def has_parked(store: ParkingStore, task: ParkedTask) -> bool:
    try:
        store.park([task])
    except StoreAwayError:
        return False
    return True


def many(folder: Path, count: int) -> int:
    """Fork, and wait for all; how many failed."""
    pids = []
    for writer in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                write(folder, writer)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)


def hold(folder: Path) -> None:
    def stay(connection: Connection) -> None:
        claims.park(connection, [parked_task(999_999)])
        sys.stdout.write("holding\n")
        sys.stdout.flush()
        threading.Event().wait()

    open_store(None, folder).database.write(stay)


if __name__ == "__main__":
    mode, folder, *rest = sys.argv[1:]
    sys.exit(many(Path(folder), int(rest[0])) if mode == "many" else hold(Path(folder)))
