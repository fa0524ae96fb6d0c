"""What `consumerd top` shows of what the master says: rates from two looks, rows, columns for any terminal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consumerd.top import model
from consumerd.top.history import BARS, GAP_S, KEPT, History, spark
from consumerd.top.model import COLUMNS, chosen, columns_for, pool_cells
from consumerd.wire.status import EndedTasks, Status, WorkerStatus, status_of
from unit.verbs.test_status import document, pool, worker


def status(*pools: dict[str, Any], **more: Any) -> Status:
    return status_of({**document(*pools), **more})


def looks(*handled: tuple[float, int], **more: Any) -> History:
    history = History()
    for at, count in handled:
        history.add(status(pool(handled=count), **more), at)
    return history


NAME = "gop/login"


def test_a_rate_is_what_two_looks_differ_by() -> None:
    history = looks((10.0, 100), (11.0, 150), (12.0, 350))
    assert history.rates(NAME) == [50.0, 200.0]
    assert history.rate(NAME) == 125.0
    assert history.rate("gop/other") is None
    assert looks((10.0, 100)).rate(NAME) is None


def test_where_nobody_could_look_there_is_a_gap() -> None:
    history = looks((10.0, 100), (11.0, 150), (11.0 + GAP_S + 1, 350), (12.0 + GAP_S + 1, 360))
    assert history.rates(NAME) == [50.0, None, 10.0]


def test_a_master_that_begins_anew_is_not_compared_with_the_one_before() -> None:
    history = looks((10.0, 100), (11.0, 150))
    history.add(status(pool(handled=10), pid=100), 12.0)
    assert history.rates(NAME) == []
    history.add(status(pool(handled=30), pid=100), 13.0)
    assert history.rates(NAME) == [20.0]


def test_a_pool_that_is_gone_is_forgotten_and_old_looks_too() -> None:
    history = looks(*((float(at), at) for at in range(KEPT + 50)))
    assert len(history.lags(NAME)) == KEPT
    history.add(status(), KEPT + 50.0)
    assert history.lags(NAME) == []


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=40), st.integers(1, 40))
def test_bars_are_as_wide_as_asked_and_the_highest_stands_out(values: list[float | None], width: int) -> None:
    bars = spark(values, width)
    last = values[-width:]
    assert len(bars) == width
    assert bars[: width - len(last)].strip() == ""
    for bar, value in zip(bars[width - len(last) :], last, strict=True):
        assert (bar == " ") == (value is None)
    known = [value for value in last if value is not None]
    if known and max(known) > 0:
        assert bars[width - len(last) + last.index(max(known))] == BARS[-1]


def test_a_bar_may_stand_for_several_looks() -> None:
    assert spark([None, None, 4.0, 0.0, 4.0, 8.0], 4, looks=2) == "  ▃█".replace("▃", BARS[round(7 * 2 / 6)])


@given(st.integers(20, 300), st.lists(st.text("abc/", min_size=1, max_size=80), max_size=5))
def test_the_columns_fit_any_terminal_and_the_most_important_stay(width: int, names: list[str]) -> None:
    columns = columns_for(width, names)
    titles = [column.title for column in columns]
    assert titles == ["POOL", *(column.title for column in COLUMNS)][: len(titles)]
    if width >= 40:
        assert sum(column.width + model.MARGINS for column in columns) <= width
    if width >= 60:
        assert titles[:4] == ["POOL", "STATE", "RATE/S", "LAG"]
    assert columns[0].width >= 12


def test_a_row_marks_what_has_a_problem_without_a_colour() -> None:
    lag = [
        {"shard": 0, "tasks": 40_000, "oldest_s": 75.0, "position": 9},
        {"shard": 1, "tasks": 2, "oldest_s": None, "position": 1},
    ]
    of_status = status(pool(problems=["gop/login: it burns"], lag=lag), pool(name="gop/mails", is_paused=True))
    columns = columns_for(200, [NAME])
    first, second = (pool_cells(each, looks((1.0, 0), (2.0, 1200)), columns) for each in of_status.pools)
    assert first[:7] == ["! gop/login", "up", "1,200", "40,002", "15/16", "2", "75 s"]
    assert second[:4] == ["  gop/mails", "paused", "-", "-"]


def test_pools_are_found_and_sorted() -> None:
    def lag(tasks: int) -> list[dict[str, Any]]:
        return [{"shard": 0, "tasks": tasks, "oldest_s": None, "position": 0}]

    pools = status(
        pool(name="a/mails", lag=lag(5), handled=10),
        pool(name="a/logins", lag=lag(70), handled=10),
        pool(name="b/sales", problems=["b/sales is slow"], is_paused=True, handled=90),
    ).pools
    history = History()
    history.add(status(*(pool(name=each.name, handled=0) for each in pools)), 1.0)
    history.add(status(*(pool(name=each.name, handled=each.handled) for each in pools)), 2.0)

    def names(order: str, wanted: str = "") -> list[str]:
        return [each.name for each in chosen(pools, history, order=order, wanted=wanted)]

    assert names("as configured") == ["a/mails", "a/logins", "b/sales"]
    assert names("lag") == ["a/logins", "a/mails", "b/sales"]
    assert names("problems") == names("rate") == ["b/sales", "a/mails", "a/logins"]
    assert names("as configured", "MAIL") == ["a/mails"]
    assert names("as configured", "paused") == ["b/sales"]


def read_worker(**more: Any) -> WorkerStatus:
    return status(pool(workers=[worker(**more)])).pools[0].workers[0]


def test_a_worker_says_what_it_does_and_by_which_task() -> None:
    tasks = [{"task": "gop/login#0:3:88", "id": "logins:3:88", "busy_s": 12.0}]
    found = read_worker(busy_s=12.0, offset=88, shard=3, tasks=tasks, memory_bytes=85_000_000)
    columns = model.worker_columns(120)
    cells = dict(zip((column.title for column in columns), model.worker_cells(found, columns), strict=True))
    assert cells["DOING"] == "offset 88 of shard 3 for 12 s: logins:3:88"
    assert (cells["MEMORY"], cells["PID"], cells["HANDLED"]) == ("81 MiB", "4711", "12")
    assert [column.title for column in model.worker_columns(60)] == ["WORKER", "STATE", "FOR", "MEMORY", "DOING"]
    stuck = model.worker_cells(read_worker(stuck="it waits\x1b[2J"), columns)
    assert "it waits\\x1b[2J" in stuck, "nothing that a task brings may steer the terminal"


@given(st.integers(20, 250))
def test_the_tables_of_a_pool_fit_any_terminal(width: int) -> None:
    if width >= 60:
        assert sum(column.width + model.MARGINS for column in model.worker_columns(width)) <= width
        assert sum(column.width + model.MARGINS for column in model.recent_columns(width)) <= width
    lines = list(model.pool_lines(status(pool()).pools[0], looks((1.0, 0), (2.0, 9)), width))
    assert max(map(len, lines)) <= max(width, 44)


def test_an_end_says_what_it_was_on_and_what_it_did_before() -> None:
    ended = EndedTasks(
        at=97.0, outcome="done", tasks=500, took_s=2e-6, is_about=True, shard=3, first=1, last=500, id="logins:3:500"
    )
    last = {
        "at": 100.0,
        "pid": 4711,
        "generation": 1,
        "end": "SIGKILL",
        "reason": "",
        "culprit": None,
        "board": None,
        "stacks": "",
        "stderr": "",
        "running": ["logins:3:501"],
        "recent": {"ended": [ended], "torn": 0},
    }
    lines = list(model.end_lines(read_worker(last_end=last)))
    assert lines[0].endswith("SIGKILL")
    assert lines[1:] == ["it was on logins:3:501", "3.0 s before, 500 up to logins:3:500: done, about 2 µs"]
    assert list(model.end_lines(read_worker())) == []


def test_memory_is_read_where_the_master_has_not() -> None:
    of_status = status(pool(workers=[worker(memory_bytes=None), worker(memory_bytes=7), worker(pid=None)]))
    found = model.with_memory(of_status, lambda pid: pid * 2)
    assert [each.memory_bytes for each in found.pools[0].workers[:2]] == [9422, 7]
    assert not isinstance(found.pools[0].workers[2].memory_bytes, int)
