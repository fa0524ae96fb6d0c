"""One pool of numbered rows under load, its master, and the judgement at the end.

The book of the handlers says what happened (`numbered_book`); the master is asked for nothing but pids and states.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from consumerd.errors import SourceAwayError
from consumerd.sources.table.options import is_server
from consumerd.sources.table.schema import create_claims_table, create_table, enqueue
from consumerd.wire.control import call
from integration.scenarios.numbered_book import Run, complaints, read_runs, repeated
from integration.scenarios.running import READY_S, environment, running
from integration.scenarios.small_masters import children, entry, open_fds, write_config
from servers.waiting import wait_until

POOL = "small/rows"
TASK_S = 0.02
MAX_UNSETTLED = 20
BACKLOG = 2000
TASK_TIMEOUT_S = 12.0
LONGEST_FREEZE_S = 15.0
STOP_TIMEOUT_S = 20.0
"""A frozen worker that holds the table's lock keeps all others waiting for ten seconds: less than these, so that nobody
is replaced who only waits to settle.
"""
QUIET_S = 180.0
FDS_MORE = 2


@dataclass
class Report:
    """What a run came to.

    own_kb: of the master, sampled; complaints: what must not be, empty where all is well; runs: of the handlers.
    """

    rows: int = 0
    repeats: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    own_kb: list[int] = field(default_factory=list)
    fds: tuple[int, int] = (0, 0)
    complaints: list[str] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def __str__(self) -> str:
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        early, late = self.own_kb[len(self.own_kb) // 5], self.own_kb[-1]
        memory = f"master {early} kB after a fifth of the time, {late} kB at the end, descriptors {self.fds}"
        what = f"{self.rows} rows, {self.repeats} repeats; {done}; {memory}"
        refused = [f"refused: {count} {name}" for name, count in self.refused.items()]
        return "\n".join([what, *refused, *self.complaints])


@dataclass(frozen=True)
class Load:
    """What the rows are like: how long one takes, how many may be unsettled, how many are to wait at any time.

    has_effects: each has one in the database, written in the transaction that settles it.
    consumer: the class.
    is_beside: their claims stand in another table.
    concurrency: how many a worker runs at once.
    """

    task_s: float = TASK_S
    max_unsettled: int = MAX_UNSETTLED
    backlog: int = BACKLOG
    has_effects: bool = False
    consumer: str = "NumberedRows"
    is_beside: bool = False
    concurrency: int = 1


class NumberedPool:
    """The pool, in a directory. `configured` are the keys that a run changes: `configure` writes them down."""

    def __init__(self, directory: Path, workers: int, database: str | None = None, load: Load | None = None) -> None:
        """database: the URL of an empty one on a server; left out, a file in the directory."""
        self.directory = directory
        self.workers = workers
        self.load = load or Load()
        self.configured: dict[str, Any] = {"color": 0, "tint": 0, "max_unavailable": 2}
        self.report = Report()
        self.database = database or str(directory / "rows.sqlite")
        url = self.database if is_server(self.database) else f"sqlite:///{self.database}"
        self._engine = create_engine(url, poolclass=NullPool)
        create_table(self.database)
        if self.load.is_beside:
            self._make_beside()
        if self.load.has_effects:
            with self._engine.begin() as connection:
                connection.execute(text("CREATE TABLE effects (number INTEGER)"))
        self.configure()

    @contextlib.contextmanager
    def started(self, *, killed: Collection[int] = (), frozen: Collection[int] = ()) -> Iterator[None]:
        """A master on the pool. At the end all that lasts is undone, every row is done, and it is judged."""
        config, state_dir = str(self.directory / "config.json"), self.directory / "state"
        with running(config, state_dir=state_dir, log=self.directory / "log", env=environment()) as master:
            self.master = master
            self.fill()
            master.wait_until_ready(self.workers)
            before = open_fds(master.process.pid)
            yield
            self._be_quiet()
            self.sample()
            with contextlib.suppress(TimeoutError):  # the judgement tells; zygotes of earlier editions may still leave
                wait_until(lambda: open_fds(master.process.pid) <= before + FDS_MORE, READY_S, "")
            self.report.fds = before, open_fds(master.process.pid)
            self._judge(killed, frozen)

    def configure(self) -> None:
        configs = {
            "workers": self.workers,
            "book": str(self.directory / "book"),
            "task_s": self.load.task_s,
            "database": self.database,
            "batch_size": 10,
            "concurrency": self.load.concurrency,
            "max_unsettled": self.load.max_unsettled,
            "settle_interval": 0.2,
            "task_timeout": TASK_TIMEOUT_S,
            "stop_timeout": STOP_TIMEOUT_S,
            **({"claims_table": "rows_claims", "table": "rows_beside"} if self.load.is_beside else {}),
            **self.configured,
        }
        pool = entry(self.load.consumer, module="integration.scenarios.numbered_rows", **configs) | {"name": "rows"}
        write_config(self.directory, pool)

    def fill(self) -> None:
        """Keep the workers busy. One that is stopped while it holds the table's lock keeps everybody out a while."""
        if self._pending() < self.load.backlog // 2:
            first = self.report.rows
            try:
                records = [{"number": first + more} for more in range(self.load.backlog)]
                self.report.rows += self._add(records)
            except SourceAwayError:
                self.report.refused["fill"] += 1

    def call(self, method: str, **params: object) -> Any:
        return call(self.master.state_dir / "control.sock", method, params, timeout_s=30)

    def pool(self) -> Any:
        """Its status."""
        [pool] = self.call("status")["pools"]
        return pool

    def sample(self) -> None:
        """Note what the master's memory is now."""
        found = re.search(r"^RssAnon:\s+(\d+) kB", self._status_file(), re.MULTILINE)
        assert found is not None
        self.report.own_kb.append(int(found[1]))

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, QUIET_S, lambda: f"{what}{self.master.tail()}")

    def wait_all_run(self) -> None:
        def all_run() -> bool:
            workers = self.pool()["workers"]
            return sum(worker["state"] == "running" for worker in workers) == len(workers) == self.workers

        self.wait(all_run, f"{self.workers} workers")

    def _status_file(self) -> str:
        return Path(f"/proc/{self.master.process.pid}/status").read_text()

    def _pending(self) -> int:
        with self._engine.connect() as connection:
            if not self.load.is_beside:
                return int(connection.execute(text("SELECT count(*) FROM tasks WHERE state <> 'done'")).scalar_one())
            done = connection.execute(text("SELECT count(*) FROM rows_claims WHERE state = 'done'")).scalar_one()
            return int(connection.execute(text("SELECT count(*) FROM rows_beside")).scalar_one()) - int(done)

    def _make_beside(self) -> None:
        """A table without columns for claims, and those beside it."""
        with self._engine.begin() as connection:
            connection.execute(text("CREATE TABLE rows_beside (id INTEGER PRIMARY KEY, payload VARCHAR(99) NOT NULL)"))
        create_claims_table(self.database, "rows_beside", "rows_claims")

    def _add(self, records: list[dict[str, int]]) -> int:
        if not self.load.is_beside:
            return enqueue(self.database, records)
        rows = [{"id": each["number"], "payload": json.dumps(each)} for each in records]
        with self._engine.begin() as connection:
            connection.execute(text("INSERT INTO rows_beside (id, payload) VALUES (:id, :payload)"), rows)
        return len(rows)

    def _be_quiet(self) -> None:
        self.call("resume", target=POOL)
        self.call("scale", target=POOL, workers=self.workers)
        self.wait(lambda: self._pending() == 0, "every row done")
        self.wait_all_run()

    def _judge(self, killed: Collection[int], frozen: Collection[int]) -> None:
        report, master = self.report, self.master
        found = report.complaints
        found += [f"{child} is a zombie" for child in children(master.process.pid) if _state(child) == "Z"]
        found += [f"{task['id']} is parked: {task['error']}" for task in master.parked()]
        before, after = report.fds
        if after > before + FDS_MORE:
            found.append(f"the master has {after} descriptors, and had {before}")
        own = master.descendants()
        if code := master.stop():
            found.append(f"the master left with {code}")
        found += [f"process {left} is left" for left in master.descendants() & own]
        runs = read_runs((self.directory / "book").read_text().rpartition("\n")[0].splitlines())
        report.repeats, report.runs = repeated(runs), runs
        numbers = range(report.rows)
        found += self._wrong_effects(numbers)
        found += complaints(runs, numbers, killed=killed, frozen=frozen, most_repeats=self.load.max_unsettled)
        log = master.log.read_text(errors="replace")
        found += sorted(set(re.findall(r"Traceback.*|\"event\": \"(?:worker|zygote)_broken\".*", log)))

    def _wrong_effects(self, numbers: Collection[int]) -> Iterator[str]:
        """Each row has its effect once."""
        if not self.load.has_effects:
            return
        with self._engine.connect() as connection:
            effects = Counter(connection.execute(text("SELECT number FROM effects")).scalars())
        self.report.done["effect"] = effects.total()
        yield from (f"row {number} has {effects[number]} effects" for number in numbers if effects[number] != 1)


def _state(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return ""


def own_directory(directory: str, what: str) -> Path:
    """A directory for a run by hand; said, so that its books can be read afterwards."""
    path = Path(directory)
    print(f"{what}, in {path}", flush=True)
    return path


def exit_code(report: Report) -> int:
    print(report, flush=True)
    return 1 if report.complaints else os.EX_OK
