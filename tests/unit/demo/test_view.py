"""What the demo shows, on terminals of all kinds."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from consumerd.demo.balance import Balance
from consumerd.demo.progress import Kill, Progress
from consumerd.demo.report import print_balance
from consumerd.demo.snapshot import Snapshot, WorkerSight
from consumerd.demo.view import LiveView, PlainView, picture, view_for

WORKERS = tuple(WorkerSight(slot, 1000 + slot, 1, "running", 3, handled=12, failed=1, parked=1) for slot in range(4))
PROGRESS = Progress(0.0, 4005, done=2000, parked=3, pending=2002, snapshot=Snapshot(WORKERS))
EVEN = Balance(4005, 4000, 5, 0, 0, 1600, 0, 9, 0, problems=())


def console_of(*, width: int = 80, term: str = "xterm", is_terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=width, force_terminal=is_terminal, _environ={"TERM": term}), out


@pytest.mark.parametrize(
    ("term", "is_terminal", "expected"),
    [("xterm", True, LiveView), ("dumb", True, PlainView), ("xterm", False, PlainView)],
)
def test_only_a_real_terminal_gets_the_live_view(term: str, is_terminal: bool, expected: type) -> None:
    console, _ = console_of(term=term, is_terminal=is_terminal)
    assert type(view_for(console)) is expected


def test_plain_lines_come_at_most_once_a_second_and_events_at_once() -> None:
    console, out = console_of()
    with PlainView(console) as view:
        for tenth in range(21):
            view.show(replace(PROGRESS, elapsed_s=tenth / 10))
        view.say("half-way")
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[-1] == "half-way"


def test_a_plain_line_is_never_wrapped() -> None:
    console, out = console_of(width=20)
    with PlainView(console) as view:
        view.say("x" * 100)
    assert out.getvalue() == "x" * 100 + "\n"


@pytest.mark.parametrize("width", [20, 40, 100])
def test_the_picture_fits_into_the_terminal(width: int) -> None:
    console, out = console_of(width=width, is_terminal=False)
    console.print(picture(PROGRESS, width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "worker" in out.getvalue()


def test_the_picture_says_which_worker_was_killed() -> None:
    console, out = console_of(width=100)
    killed = WorkerSight(2, None, 1, "backing_off", None, handled=0, failed=0, parked=0)
    kill = Kill(2, 1002, 1, 3.0)
    console.print(picture(replace(PROGRESS, snapshot=Snapshot((*WORKERS[:2], killed)), kill=kill), 100))
    (line,) = [line for line in out.getvalue().splitlines() if "backing_off" in line]
    assert line.rstrip().endswith("killed")


def test_the_picture_says_whose_count_is_missing() -> None:
    console, out = console_of(width=100)
    console.print(picture(replace(PROGRESS, kill=Kill(2, 1002, 1, 3.0, handled=1012)), 100))
    assert "not counted here: the 1,012 or few more that worker 2 had handled when it was killed" in out.getvalue()


def test_a_balance_in_a_file_has_no_blanks_at_the_ends_of_its_lines() -> None:
    console, out = console_of(width=100)
    print_balance(console, EVEN)
    assert [line for line in out.getvalue().splitlines() if line != line.rstrip()] == []
    assert "4,000" in out.getvalue()


def test_the_live_view_ends_with_the_last_picture_on_the_screen() -> None:
    console, out = console_of(width=100, is_terminal=True)
    with LiveView(console) as view:
        view.show(PROGRESS)
        view.say("half-way")
    assert "2,000 of 4,005 done" in out.getvalue()
    assert "half-way" in out.getvalue()


@pytest.mark.parametrize("width", [40, 100])
def test_the_balance_names_every_problem(width: int) -> None:
    console, out = console_of(width=width)
    print_balance(console, replace(EVEN, lost=1, problems=("1 login(s) are neither done nor parked: 17",)))
    assert "1 login(s) are neither done nor parked: 17" in out.getvalue()
    assert out.getvalue().endswith("it does not balance\n")


def test_an_even_balance_says_so() -> None:
    console, out = console_of()
    print_balance(console, EVEN)
    assert out.getvalue().endswith("it balances: produced = done + parked, nothing lost\n")
