"""Several processes on one claimed table, some of them killed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import environment
from integration.scenarios.table_workers import BATCH_SIZE
from servers.waiting import wait_until

ROWS = 4_000
WORKERS = 4
KILLED = "m0"
END_S = 60.0


class Workers:
    """Processes on one table, and what they wrote down."""

    def __init__(self, folder: Path) -> None:
        self.database = str(folder / "tasks.sqlite")
        self.ledger = folder / "ledger"
        self.ledger.touch()
        create_table(self.database)
        enqueue(self.database, ({"number": number} for number in range(ROWS)))

    def start(self, member: str, generation: int) -> subprocess.Popen[bytes]:
        module = "integration.scenarios.table_workers"
        command = [sys.executable, "-m", module, self.database, member, str(generation), str(self.ledger)]
        return subprocess.Popen(command, env=environment())

    def handled(self) -> list[tuple[str, ...]]:
        """(member, task id) of each, in order."""
        return [tuple(line.split(" ")) for line in self.ledger.read_text().splitlines()]

    def states(self) -> Counter[str]:
        connection = sqlite3.connect(self.database)
        try:
            return Counter(state for (state,) in connection.execute("SELECT state FROM tasks"))
        finally:
            connection.close()


def test_every_row_is_handled_and_only_those_of_the_killed_come_again(state_dir: Path) -> None:
    workers = Workers(state_dir)
    processes = [workers.start(KILLED, 1)]

    def has_begun() -> bool:
        return Counter(member for member, _ in workers.handled())[KILLED] >= 3 * BATCH_SIZE

    wait_until(has_begun, END_S, "the worker to be killed handled nothing")
    processes += [workers.start(f"m{number}", 1) for number in range(1, WORKERS)]
    processes[0].kill()
    processes[0].wait(END_S)
    processes[0] = workers.start(KILLED, 2)
    assert [process.wait(END_S) for process in processes] == [0] * WORKERS
    assert workers.states() == {"done": ROWS}
    times = Counter(task_id for _, task_id in workers.handled())
    assert len(times) == ROWS
    again = [task_id for task_id, count in times.items() if count > 1]
    assert len(again) <= 2 * BATCH_SIZE, "more came again than one process can have had unsettled"
