"""What is seen once a second while it goes on: what is behind, who works, what the database writes by its own counters.

Nothing waits for a part that is away: its last figures stand until it is back.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from world import ledger
from world.launch_day import OLD, LaunchDay

EVERY_S = 1.0
TABLES = {"checks": "payment_check", "notifications": "payment_notification"}
"""A check that is done gives a notification: looked at in this order, it is seen on its way."""
TOPICS = {"logins": "login_task", "accounts": "account_change"}
FRONT_ENDS = {"logins": "logins", "accounts": "changes"}
_STANDING = (
    "SELECT count(*), coalesce(sum(state IN ('pending', 'claimed')), 0),"
    " coalesce(max(CASE WHEN state = 'pending' THEN unix_timestamp(now(6)) - due_at END), 0) FROM {}"
)
_ROWS = "SELECT table_name, rows_changed FROM information_schema.table_statistics WHERE table_schema = database()"

Figures = dict[str, float]


class Workers(Protocol):
    """Those who do the tasks."""

    def workers(self) -> Mapping[str, Sequence[int]]: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """At one moment, in seconds since the epoch. By daemon: tasks given so far, done so far, seconds behind, workers.

    rows: by table, how many rows have been written since the server was started.
    """

    at: float
    given: Figures
    done: Figures
    behind_s: Figures
    workers: Figures
    rows: Figures

    def left(self, daemon: str) -> float:
        return max(0.0, self.given.get(daemon, 0) - self.done.get(daemon, 0))


class Sampler:
    """Looks once a second, from the beginning of a block to its end.

    committed: how far the consumers of a topic have come; an OSError says that nobody knows.
    """

    def __init__(self, day: LaunchDay, workers: Workers, committed: Callable[[str], int]) -> None:
        self.samples: list[Sample] = []
        self._day, self._workers, self._committed = day, workers, committed
        self._engine = create_engine(day.database, pool_pre_ping=True, isolation_level="AUTOCOMMIT")
        self._over = threading.Event()
        self._given: dict[str, list[tuple[float, int]]] = {}
        self._standing: dict[str, tuple[float, float, float]] = {}
        self._rows: Figures = {}
        self._ends: Figures = {}
        self._running: Figures = {}

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        looks = (self._look_at_tables, self._look_at_topics, self._look_at_workers, self._note)
        threads = [threading.Thread(target=self._again_and_again, args=(look,), daemon=True) for look in looks]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()
            self._engine.dispose()

    def _again_and_again(self, look: Callable[[], None]) -> None:
        while not self._over.wait(EVERY_S):
            with contextlib.suppress(DBAPIError, OSError):
                look()

    def _look_at_tables(self) -> None:
        with self._engine.connect() as connection:
            connection.execute(text("SET GLOBAL userstat = 1"))
            for daemon, table in TABLES.items():
                self._standing[daemon] = _numbers(connection, _STANDING.format(table))
            orders = f"SELECT {self._day.load.orders}, count(*), 0 FROM game_order WHERE finished_at = '{OLD}'"
            self._standing["archive"] = _numbers(connection, orders)
            self._rows = {name: float(rows) for name, rows in connection.execute(text(_ROWS))}

    def _look_at_topics(self) -> None:
        for daemon, topic in TOPICS.items():
            self._ends[daemon] = self._committed(topic)

    def _look_at_workers(self) -> None:
        self._running = {name: float(len(pids)) for name, pids in self._workers.workers().items()}

    def _note(self) -> None:
        now = time.time()
        given = {daemon: numbers[0] for daemon, numbers in self._standing.items()}
        done = {daemon: numbers[0] - numbers[1] for daemon, numbers in self._standing.items()}
        behind = {daemon: numbers[2] for daemon, numbers in self._standing.items()}
        for daemon in TOPICS:
            history = self._history(daemon)
            done[daemon] = self._ends.get(daemon, 0.0)
            given[daemon] = float(history[-1][1]) if history else 0.0
            behind[daemon] = next((now - at for at, produced in history if produced > done[daemon]), 0.0)
        self.samples.append(Sample(now, given, done, behind, dict(self._running), dict(self._rows)))

    def _history(self, daemon: str) -> list[tuple[float, int]]:
        return [(each["at"], each["produced"]) for each in ledger.read(self._day.given(FRONT_ENDS[daemon]))]


def _numbers(connection: Connection, query: str) -> tuple[float, float, float]:
    first, second, third = connection.execute(text(query)).one()
    return float(first), float(second), float(third)


@dataclass(frozen=True, slots=True)
class Peak:
    """How far a daemon was behind at most, from the spike on, and how long after it that was as before."""

    tasks: float
    behind_s: float
    caught_up_after_s: float | None


def peak(samples: Sequence[Sample], daemon: str, spike: tuple[float, float]) -> Peak:
    before = max((sample.left(daemon) for sample in samples if sample.at < spike[0]), default=0.0)
    since = [sample for sample in samples if sample.at >= spike[0]]
    back = next((each.at for each in since if each.at > spike[1] and each.left(daemon) <= before), None)
    return Peak(
        tasks=max((sample.left(daemon) for sample in since), default=0.0),
        behind_s=max((sample.behind_s.get(daemon, 0.0) for sample in since), default=0.0),
        caught_up_after_s=None if back is None else back - spike[1],
    )


def a_second(samples: Sequence[Sample], number: Callable[[Sample], float]) -> list[float]:
    """How much a growing number has grown, for each sample since the one before; it may begin anew at 0."""
    grown = [0.0]
    for before, after in itertools.pairwise(samples):
        more = number(after) - number(before)
        grown.append((more if more >= 0 else number(after)) / (after.at - before.at))
    return grown
