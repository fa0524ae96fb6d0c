"""The rows and columns that `consumerd top` shows, made of what the master has answered. Pure: the time is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from consumerd import clock
from consumerd.cli.lines import printable
from consumerd.config.amounts import count, duration, size
from consumerd.top.history import KEPT, History, spark
from consumerd.verbs.status import doing, how_each_took
from consumerd.wire.status import EndedTasks, PoolStatus, Status, WorkerStatus

# The table of pools


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `width` without its margins."""

    title: str
    width: int
    is_number: bool = False


NARROWEST_NAME, WIDEST_NAME = 12, 24
SPARK, LOOKS = 16, 5
"""Of the small sparklines: how wide they are, and for how many looks each bar stands."""

COLUMNS: Mapping[Column, Callable[[PoolStatus, History], str]] = {
    Column("STATE", 9): lambda pool, history: pool.held or pool.state,
    Column("RATE/S", 6, True): lambda pool, history: number(history.rate(pool.name)),
    Column("LAG", 6, True): lambda pool, history: number(pool.lag_tasks),
    Column("WORKERS", 7, True): lambda pool, history: f"{pool.workers_running}/{pool.workers_wanted}",
    Column("PARKED", 6, True): lambda pool, history: number(pool.parked_tasks),
    Column("OLDEST", 7, True): lambda pool, history: "-" if (s := pool.lag_s) is None else duration(s),
    Column("RATE", SPARK): lambda pool, history: spark(history.rates(pool.name), SPARK, looks=LOOKS),
    Column("LAG OVER TIME", SPARK): lambda pool, history: spark(history.lags(pool.name), SPARK, looks=LOOKS),
}
"""Beside the name; the most important first, for a narrow terminal has no room for all."""

MARGINS, MARK = 2, "! "


def columns_for(width: int, names: Sequence[str]) -> list[Column]:
    """Those for which a terminal of this width has room; a very long name has what is left."""
    longest = max((len(name) + len(MARK) for name in names), default=0)
    name_width = min(max(longest, NARROWEST_NAME), WIDEST_NAME)
    left = width - name_width - MARGINS
    shown = list[Column]()
    for column in COLUMNS:
        if left < column.width + MARGINS:
            break
        shown.append(column)
        left -= column.width + MARGINS
    return [Column("POOL", max(name_width, min(longest, name_width + left))), *shown]


def pool_cells(pool: PoolStatus, history: History, columns: Sequence[Column]) -> list[str]:
    """A row; a pool that has a problem begins with a mark, since colours are not for everybody."""
    mark = MARK if pool.problems else " " * len(MARK)
    return [cut(mark + pool.name, columns[0].width), *(COLUMNS[column](pool, history) for column in columns[1:])]


def number(value: float | None) -> str:
    return "-" if value is None else count(value)


def cut(text: str, width: int) -> str:
    """As much of a text as has room."""
    text = printable(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


ORDERS: Mapping[str, Callable[[PoolStatus, History], float] | None] = {
    "as configured": None,
    "problems": lambda pool, history: len(pool.problems),
    "lag": lambda pool, history: pool.lag_tasks or 0,
    "rate": lambda pool, history: history.rate(pool.name) or 0.0,
    "parked": lambda pool, history: pool.parked_tasks,
}
"""By what pools are sorted, the highest first."""


def with_memory(status: Status, own_bytes: Callable[[int], int | None]) -> Status:
    """The same, with the memory of the workers that are told, where the master has had no reason to look at it.

    own_bytes: of a process, by its id; None where nobody may know.
    """

    def known(worker: WorkerStatus) -> WorkerStatus:
        if worker.pid is None or isinstance(worker.memory_bytes, int):
            return worker
        return replace(worker, memory_bytes=own_bytes(worker.pid))

    return replace(status, pools=[replace(pool, workers=[*map(known, pool.workers)]) for pool in status.pools])


def chosen(pools: Sequence[PoolStatus], history: History, *, order: str, wanted: str) -> list[PoolStatus]:
    """The pools that have this text in their name, state, or class, in this order."""
    found = [pool for pool in pools if wanted.lower() in f"{pool.name} {pool.held or pool.state} {pool.target}".lower()]
    key = ORDERS[order]
    return found if key is None else sorted(found, key=lambda pool: -key(pool, history))


# A pool and its workers

WORKER_COLUMNS = (
    Column("WORKER", 6, True),
    Column("STATE", 10),
    Column("FOR", 6, True),
    Column("MEMORY", 8, True),
    Column("DOING", 40),
    Column("HANDLED", 8, True),
    Column("PID", 7, True),
)
RECENT_COLUMNS = (
    Column("AGO", 6, True),
    Column("TASKS", 6, True),
    Column("OUTCOME", 8),
    Column("EACH", 12),
    Column("LAST", 40),
)


def worker_columns(width: int) -> list[Column]:
    """Those for which there is room; the last ones are left out first."""
    shown, left = list[Column](), width
    for column in WORKER_COLUMNS:
        needed = min(column.width, 20) if column.title == "DOING" else column.width
        if left >= needed + MARGINS:
            shown.append(column)
            left -= needed + MARGINS
    return [Column("DOING", 20 + max(0, left)) if column.title == "DOING" else column for column in shown]


def worker_cells(worker: WorkerStatus, columns: Sequence[Column]) -> list[str]:
    memory = None if worker.memory_bytes is UNSET else worker.memory_bytes
    cells = {
        "WORKER": str(worker.slot),
        "STATE": worker.state,
        "FOR": duration(worker.since_s),
        "MEMORY": "-" if memory is None else size(memory),
        "DOING": _doing(worker),
        "HANDLED": "-" if worker.handled is UNSET else number(worker.handled),
        "PID": "-" if worker.pid is None else str(worker.pid),
    }
    return [cut(cells[column.title], column.width) for column in columns]


def _doing(worker: WorkerStatus) -> str:
    """What keeps it; else the task that it is on, by its id where it has one."""
    if worker.stuck:
        return worker.stuck
    told = doing(worker)
    oldest = worker.tasks[0] if worker.tasks is not UNSET and worker.tasks else None
    return told if oldest is None or oldest.id is None else f"{told}: {oldest.id}"


def recent_cells(ended: EndedTasks, now: float, columns: Sequence[Column]) -> list[str]:
    """now: on the wall clock."""
    last = ended.id or f"offset {ended.last} of shard {ended.shard}"
    ago = duration(max(0.0, now - ended.at))
    cells = (ago, number(ended.tasks), ended.outcome, how_each_took(ended), last)
    return [cut(cell, column.width) for cell, column in zip(cells, columns, strict=True)]


def recent_columns(width: int) -> list[Column]:
    *others, last = RECENT_COLUMNS
    taken = sum(column.width + MARGINS for column in others)
    return [*others, Column(last.title, max(12, width - taken - MARGINS))]


def pool_lines(pool: PoolStatus, history: History, width: int) -> Iterator[str]:
    """What is to be said of a pool above its workers."""
    source = "" if pool.source is None else f", {pool.source}"
    yield cut(f"{pool.name}: {pool.held or pool.state}, {pool.target}{source}", width)
    lag = number(pool.lag_tasks)
    oldest = pool.lag_s
    age = "" if oldest is None else f", the oldest for {duration(oldest)}"
    half = max(8, width - 36)
    yield f"rate {number(history.rate(pool.name)):>6}/s  {spark(history.rates(pool.name), min(half, KEPT))}"
    yield f"lag  {lag:>6}    {spark(history.lags(pool.name), min(half, KEPT))}{age}"
    dead = 0 if pool.parked_now is None else pool.parked_now.dead
    counts = f"{pool.workers_running} of {pool.workers_wanted} workers, {pool.parked_tasks} parked ({dead} dead)"
    yield cut(f"{counts}, {pool.restarts} restarts, {number(pool.failed)} failed attempts", width)


def end_lines(worker: WorkerStatus) -> Iterator[str]:
    """How the one before a worker ended, and what it was on."""
    last = worker.last_end
    if last is None:
        return
    reason = f": {last.reason}" if last.reason else ""
    yield f"the one before ended {clock.moment(last.at)}, {last.end}{reason}"
    if last.running:
        yield f"it was on {', '.join(map(printable, last.running))}"
    if last.recent is not None and last.recent.ended:
        newest = last.recent.ended[0]
        before, name = duration(max(0.0, last.at - newest.at)), newest.id or f"offset {newest.last}"
        yield f"{before} before, {newest.tasks} up to {printable(name)}: {newest.outcome}, {how_each_took(newest)}"
