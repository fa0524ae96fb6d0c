import json
import os
from collections.abc import Callable, Iterator

import pytest

from consumerd.events.facts import Fact, Level
from consumerd.events.log import LogFormat, LogListener, log_to_stdout, renderer
from consumerd.events.outlet import Outlet

Read = Callable[[], str]

OPEN: list[Outlet] = []


@pytest.fixture
def pipe() -> Iterator[tuple[int, Read]]:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)

    def read() -> str:
        try:
            return os.read(read_end, 1_000_000).decode()
        except BlockingIOError:
            return ""

    yield write_end, read
    os.close(read_end)
    os.close(write_end)


def test_whatever_stands_for_stdout_the_log_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (None, object()):
        monkeypatch.setattr("sys.stdout", stream)
        log_to_stdout("auto", "info")


def listener(fd: int, log_format: LogFormat = "json", **more: object) -> LogListener:
    outlet = Outlet(fd, patience_s=0)
    OPEN.append(outlet)
    return LogListener(outlet, renderer(log_format, is_terminal=False), **more)  # type: ignore[arg-type]  # by name


@pytest.fixture(autouse=True)
def close_outlets() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def test_a_fact_is_one_line_of_json_with_its_fields(pipe: tuple[int, Read]) -> None:
    listener(pipe[0], bound={"consumer": "g/a", "worker_id": 3})(
        Fact("task_failed", Level.WARNING, {"offset": 7, "error": "two\nlines"})
    )
    (line,) = pipe[1]().splitlines()
    logged = json.loads(line)
    assert logged.pop("timestamp").endswith("Z")
    assert logged == {
        "event": "task_failed",
        "level": "warning",
        "consumer": "g/a",
        "worker_id": 3,
        "offset": 7,
        "error": "two\nlines",
    }


def test_facts_below_the_level_are_not_written(pipe: tuple[int, Read]) -> None:
    log = listener(pipe[0], level=Level.WARNING)
    log(Fact("a_debug", Level.DEBUG))
    log(Fact("an_info", Level.INFO))
    log(Fact("a_warning", Level.WARNING))
    log(Fact("an_error", Level.ERROR))
    assert [json.loads(line)["event"] for line in pipe[1]().splitlines()] == ["a_warning", "an_error"]


def test_people_get_words_and_a_traceback_below_them(pipe: tuple[int, Read]) -> None:
    fields = {"worker_id": 3, "error": "no route", "traceback": "Traceback:\n  line 1"}
    listener(pipe[0], "console")(Fact("worker_ended", Level.ERROR, fields=fields))
    time, rest = pipe[1]().split(" ", 1)
    assert time.endswith("Z")
    assert rest == (
        "error   worker_ended           worker_id=3 error='no route'\n  traceback:\n    Traceback:\n      line 1\n"
    )


def test_what_tasks_have_said_steers_no_terminal(pipe: tuple[int, Read]) -> None:
    fields: dict[str, object] = {"task": "\x1b]0;PWNED\x07", "traceback": "Traceback:\n\tValueError: \x1b]0;PWNED\x07"}
    listener(pipe[0], "console")(Fact("task_failed", Level.ERROR, fields=fields))
    written = pipe[1]()
    assert "\x1b" not in written
    assert written.endswith(
        "task='\\x1b]0;PWNED\\x07'\n  traceback:\n    Traceback:\n    \tValueError: \\x1b]0;PWNED\\x07\n"
    )


def test_auto_is_json_where_nobody_sits(pipe: tuple[int, Read]) -> None:
    listener(pipe[0], "auto")(Fact("worker_ready"))
    assert json.loads(pipe[1]())["event"] == "worker_ready"


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", float("nan"), {1}, object(), "\ud800", Exception("x"), "long" * 10_000_000], ids=type
)
def test_no_value_breaks_the_log_or_makes_it_long(pipe: tuple[int, Read], value: object) -> None:
    listener(pipe[0])(Fact("task_failed", fields={"value": value}))
    line = pipe[1]()
    assert json.loads(line)["event"] == "task_failed"
    assert len(line) < 10_000


def test_dropped_lines_are_told_once_lines_get_through_again() -> None:
    read_end, write_end = os.pipe()
    log = listener(write_end)
    for _ in range(100):
        log(Fact("worker_ready", fields={"text": "x" * 8_000}))
    os.read(read_end, 1_000_000)
    log(Fact("worker_ready"))
    rest = os.read(read_end, 1_000_000).decode()
    told = [json.loads(line) for line in rest.splitlines() if line.startswith("{")]
    assert [line["event"] for line in told] == ["worker_ready", "log_lines_dropped"]
    assert told[1]["lines"] > 80
    log(Fact("worker_ready"))
    assert "dropped" not in os.read(read_end, 1_000_000).decode()
    os.close(read_end)
    os.close(write_end)
