"""`consumerd top` over a real master: what it shows, what its keys do, and a master that goes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from consumerd.state.state_dir import StateDirectory
from consumerd.top.app import Top
from consumerd.top.screens import PoolScreen, PoolsScreen
from consumerd.top.widgets import Question, Reading, Table
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, pool, stop, wait_for, wait_running, write_config
from servers.waiting import wait_until

pytestmark = pytest.mark.xdist_group("top")

WIDE, NARROW = (120, 36), (60, 24)
Keys = Pilot[None]


@contextlib.contextmanager
def started(directory: Path) -> Iterator[Running]:
    path = directory / "config.json"
    with running(str(path), state_dir=directory / "state", log=directory / "log", env=environment()) as master:
        yield master


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("top")


@pytest.fixture(scope="module")
def master(directory: Path) -> Iterator[Running]:
    """One for all tests: each acts on a pool of its own, and the last one stops it."""
    parked = entry("Failing", retry_times=0, back_off_time=3600)
    write_config(directory, entry("Counting", workers=2), entry("Hanging"), parked)
    with started(directory) as found:
        wait_running(found, 4)
        yield found


def drive(master: Running, steps: Callable[[Keys], Coroutine[Any, Any, None]], size: tuple[int, int] = WIDE) -> None:
    """Run it without a terminal, and press keys."""

    async def run() -> None:
        top = Top(StateDirectory(master.state_dir))
        async with top.run_test(size=size) as keys:
            await until(keys, lambda: top.seen.status is not None)
            await steps(keys)

    asyncio.run(run())


async def until(keys: Keys, condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():
            await keys.pause(0.05)


def text_of(keys: Keys, place: str) -> str:
    return str(keys.app.screen.query_one(place, Static).render())


def cells(keys: Keys, table: str) -> list[list[str]]:
    found = keys.app.screen.query_one(table, Table)
    return [[str(cell) for cell in found.get_row_at(row)] for row in range(found.row_count)]


async def answer(keys: Keys, key: str, question: str, reply: str = "y") -> None:
    """Press a key whose question has this in it, and reply."""
    await keys.press(key)
    await until(keys, lambda: isinstance(keys.app.screen, Question))
    assert question in text_of(keys, "#question")
    await keys.press(reply)
    await until(keys, lambda: not isinstance(keys.app.screen, Question))


def test_keys_act_once_their_question_is_answered_with_yes(master: Running) -> None:
    async def steps(keys: Keys) -> None:
        await until(keys, lambda: [row[0].split()[-1] for row in cells(keys, "#pools")][:1] == ["small/counting"])
        await answer(keys, "plus", "Run 3 workers of small/counting, in the place of 2?", reply="n")
        await answer(keys, "plus", "Run 3 workers of small/counting, in the place of 2?")
        await until(keys, lambda: any("3/3" in cell for cell in cells(keys, "#pools")[0]))
        await answer(keys, "a", "Leave the number of workers")
        await until(keys, lambda: any("2/2" in cell for cell in cells(keys, "#pools")[0]))
        await answer(keys, "p", "Pause small/counting?")
        await until(keys, lambda: "paused" in cells(keys, "#pools")[0])
        await answer(keys, "p", "Let the workers of small/counting fetch")
        await until(keys, lambda: "paused" not in cells(keys, "#pools")[0])
        await answer(keys, "r", "Restart the workers of small/counting")
        await until(keys, lambda: pool(master, "counting")["edition"] > 1)

    drive(master, steps)
    asked = [each["method"] for each in audited(master)]
    assert asked == ["scale", "scale", "pause", "resume", "restart"]


def audited(master: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (master.state_dir / "audit.log").read_text().splitlines()]


def test_a_pool_shows_its_workers_and_a_task_that_hangs_can_be_cancelled(master: Running) -> None:
    async def steps(keys: Keys) -> None:
        await keys.press("enter")
        await until(keys, lambda: isinstance(keys.app.screen, PoolScreen) and len(cells(keys, "#workers")) == 2)
        await until(keys, lambda: any("done" in row for row in cells(keys, "#recent")))
        await keys.press("escape", "down", "enter")
        await until(keys, lambda: keys.app.screen.query("#workers") and len(cells(keys, "#workers")) == 1)
        await until(keys, lambda: any("offset 0" in cell for cell in cells(keys, "#workers")[0]))
        await answer(keys, "c", "End the attempt of worker 0 at small/hanging#0:0:0")
        await until(keys, lambda: master.log.read_text().count('"task_cancelled"'))
        await keys.press("escape")
        assert isinstance(keys.app.screen, PoolsScreen)

    drive(master, steps)


def test_parked_tasks_are_retried_and_what_cannot_be_done_says_why(master: Running) -> None:
    wait_for(master, lambda _: (pool(master, "failing")["parked_now"] or {}).get("waiting") == 3, "three that wait")

    async def steps(keys: Keys) -> None:
        await keys.press("t")
        assert not isinstance(keys.app.screen, Question), "nothing of the first pool is parked"
        await keys.press("down", "down")
        await answer(keys, "t", "As last counted, 0 are dead and 3 wait")
        await until(keys, lambda: pool(master, "failing")["failed"] == 6)

    drive(master, steps)


def test_it_filters_sorts_helps_and_asks_the_doctor_on_a_narrow_terminal(master: Running) -> None:
    async def steps(keys: Keys) -> None:
        await until(keys, lambda: len(cells(keys, "#pools")) == 3)
        assert all(sum(map(len, row)) <= NARROW[0] for row in cells(keys, "#pools"))
        await keys.press("slash", *"hang", "enter")
        assert [row[0].split()[-1] for row in cells(keys, "#pools")] == ["small/hanging"]
        await keys.press("slash", "backspace", "backspace", "backspace", "backspace", "enter", "s")
        assert "by problems" in text_of(keys, "#title")
        await keys.press("question_mark")
        assert "one worker more" in text_of(keys, "#text")
        await keys.press("escape", "d")
        assert isinstance(keys.app.screen, Reading)
        await until(keys, lambda: "two seconds" not in text_of(keys, "#text"))
        await keys.press("escape")

    drive(master, steps, NARROW)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_on_a_terminal_without_colours_it_draws_and_ends_with_q(master: Running, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    command = [sys.executable, "-m", "consumerd", "top", "--state-dir", str(master.state_dir)]
    env = environment(NO_COLOR="1", TERM="xterm-256color")
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as top:
        drawn = bytearray()

        def look() -> bool:
            drawn.extend(os.read(ours, 65_536))
            return b"small/counting" in drawn and b"\x1b[?1049h" in drawn

        wait_until(look, deadline_s=SOON_S, message=lambda: bytes(drawn[-2000:]).decode(errors="replace"))
        os.write(ours, b"q")
        wait_until(
            lambda: os.read(ours, 65_536).find(b"\x1b[?1049l") >= 0, deadline_s=SOON_S, message=lambda: "its end"
        )
        assert top.wait(SOON_S) == 0


def test_without_a_terminal_or_its_library_it_says_so_in_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "consumerd", "top", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert (done.returncode, done.stderr.decode().count("\n")) == (2, 1)
    assert b"needs a terminal" in done.stderr
    (tmp_path / "textual.py").write_text("raise ImportError('no module named textual')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False, env=env)
    assert (done.returncode, done.stderr.decode().count("\n")) == (2, 1)
    assert b"the extra `top`" in done.stderr
    assert b"pip install" in done.stderr


def test_a_master_that_goes_is_told_and_comes_back_by_itself(master: Running, directory: Path) -> None:
    async def steps(keys: Keys) -> None:
        before = master.process.pid
        await asyncio.to_thread(stop, master)
        await until(keys, lambda: "no master answers" in text_of(keys, "#problems"))
        assert "what is shown is old" in text_of(keys, "#problems")
        with started(directory) as again:
            await until(keys, lambda: "no master answers" not in text_of(keys, "#problems"))
            await until(keys, lambda: keys.app.seen.status.pid not in (None, before))
            await asyncio.to_thread(stop, again)

    drive(master, steps)
