"""`make gop-lite`: the five daemons and the world around them on one SQLite file, and no server.

A worker of each is killed, and the master. It ends with the balance; exit code 1 where anything was lost or doubled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from consumerd.sources.table.schema import create_table
from world.balance import TRIGGERS, Books, Line, select, sheet
from world.game_servers import PREVIOUS_SECRET, SECRET
from world.load import APPS, Load

HERE = Path(__file__).parents[1]
OLD, YOUNG = "2020-01-01 00:00:00", "2099-01-01 00:00:00"
MEMORY = Path("/dev/shm")
YOUNG_ORDERS = 50
UNDER_WAY = " UNION ALL ".join(
    f"SELECT count(*) FROM {table} WHERE state IN ('pending', 'claimed')"
    for table in ("login_task", "account_change_task", "payment_notification", "payment_check")
)
OLD_ORDERS = f"SELECT count(*) FROM game_order WHERE finished_at = '{OLD}'"


class Lite:
    """One run: its folder, and the processes in it."""

    def __init__(self, folder: Path, load: Load) -> None:
        self.folder, self.load = folder, load
        self.database, self.archive = folder / "gop.sqlite", folder / "archive"
        self.calls, self.log = folder / "game_servers.jsonl", folder / "consumerd.log"
        self._state = ["--state-dir", str(folder / "state")]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "GOP_DATABASE": f"sqlite:///{self.database}",
            "GOP_ARCHIVE": str(self.archive),
        }
        self._kills: list[str] = []

    def run(self, seconds: float, patience_s: float) -> list[Line]:
        """Produce for so long, kill as it goes, and wait until nothing is under way; the balance."""
        self._prepare()
        with contextlib.ExitStack() as stack:
            game_servers = ["--ledger", str(self.calls), "--seed", str(self.load.seed)]
            url = stack.enter_context(self._server("world.game_servers", *game_servers, "--outage", str(seconds)))
            self._add_webhooks(url)
            load = json.dumps(asdict(self.load))
            channels = self._server("world.channels", "--load", load, "--outage", str(seconds / 2))
            self._environment["GOP_CHANNELS"] = stack.enter_context(channels)
            master = stack.enter_context(self._master())
            front_end = stack.enter_context(self._process("world.front_end", "--load", load, "--seconds", str(seconds)))
            self._wait_for(lambda: self._slots() >= 9, patience_s, "all workers run")
            self._consumerd("run-now", "gop_archive/archive")
            self._wait_for(lambda: front_end.poll() == 0, patience_s, "all is produced")
            self._kill_workers()
            self._wait_for(lambda: self._under_way() < self.load.changes // 2, patience_s, "half of the spike is over")
            self._note("SIGKILL to the master, and another one is started")
            master.kill()
            master.wait()
            stack.enter_context(self._master())
            self._wait_for(lambda: self._under_way() == 0, patience_s, "nothing is under way")
        return Books(self.database, self.calls, self.archive, self.load).lines()

    # Before

    def _prepare(self) -> None:
        self.archive.mkdir()
        for table in ("login_task", "account_change_task"):
            create_table(str(self.database), table)
        with self._connected() as connection:
            connection.executescript((HERE / "schema_sqlite.sql").read_text() + TRIGGERS)
            ids = [(number,) for number in range(1, self.load.accounts + 1)]
            connection.executemany("INSERT INTO account (account_id) VALUES (?)", ids)
            add = "INSERT INTO game_order (account_id, item, amount, state, finished_at) VALUES (1, 'sword', 5, ?, ?)"
            connection.executemany(add, [("finished", OLD)] * self.load.orders)
            connection.executemany(add, [("finished", YOUNG), ("open", None)] * (YOUNG_ORDERS // 2))

    def _add_webhooks(self, url: str) -> None:
        with self._connected() as connection:
            hooks = [(app_id, f"{url}/{app_id}", SECRET, PREVIOUS_SECRET) for app_id in APPS]
            connection.executemany("INSERT INTO webhook VALUES (?, ?, ?, ?, NULL)", hooks)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as connection, connection:
            yield connection

    # Processes

    @contextlib.contextmanager
    def _process(self, module: str, *arguments: str, is_read: bool = False) -> Iterator[subprocess.Popen[str]]:
        """It is killed at the end of the block, unless it has ended. is_read: what it writes to standard output."""
        command = [sys.executable, "-m", module, *arguments]
        with self.log.open("ab") as log:
            output = subprocess.PIPE if is_read else log
            process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=log, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _server(self, module: str, *arguments: str) -> Iterator[str]:
        """Its address."""
        with self._process(module, *arguments, is_read=True) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip()

    @contextlib.contextmanager
    def _master(self) -> Iterator[subprocess.Popen[str]]:
        """It is asked to stop at the end of the block, and its workers with it."""
        with self._process("consumerd", "run", str(HERE / "lite.toml"), *self._state) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(30)

    def _consumerd(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "consumerd", *arguments, *self._state]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False).stdout

    # As it goes

    def _workers(self) -> dict[str, list[int]]:
        """The pids of those that run, by consumer."""
        try:
            pools = json.loads(self._consumerd("status", "--json"))["pools"]
        except (ValueError, KeyError):
            return {}
        return {
            pool["name"]: [worker["pid"] for worker in pool["workers"] if worker["state"] == "running"]
            for pool in pools
        }

    def _slots(self) -> int:
        return sum(map(len, self._workers().values()))

    def _kill_workers(self) -> None:
        """One of each consumer."""
        for name, pids in self._workers().items():
            if pids:
                self._note(f"SIGKILL to a worker of {name}")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[0], signal.SIGKILL)

    def _under_way(self) -> int:
        return sum(number for (number,) in select(self.database, f"{UNDER_WAY} UNION ALL {OLD_ORDERS}"))

    def _wait_for(self, is_so: Callable[[], bool], patience_s: float, what: str) -> None:
        deadline = time.monotonic() + patience_s
        while not is_so():
            if time.monotonic() > deadline:
                self._note(f"in vain: {what}; see {self.log}")
                return
            time.sleep(0.1)
        self._note(what)

    def _note(self, what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts")
    parser.add_argument("--seconds", type=float, default=8.0, help="for so long tasks are produced")
    parser.add_argument("--patience", type=float, default=90.0, help="the longest wait")
    arguments = parser.parse_args()
    counts = {"accounts": 200, "logins": 5000, "changes": 1500, "payments": 300, "orders": 3000}
    load = Load(seed=arguments.seed, **{name: max(10, int(count * arguments.scale)) for name, count in counts.items()})
    folder = Path(tempfile.mkdtemp(prefix="gop-lite-", dir=MEMORY if MEMORY.is_dir() else None))
    lines = Lite(folder, load).run(arguments.seconds, arguments.patience)
    print(sheet(lines))
    if not all(line.is_even for line in lines):
        print(f"not even: see {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
