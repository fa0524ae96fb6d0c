"""Schedules on the servers that hosts share, and as masters run them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumerd.parking.opening import open_store
from contracts.parking_store import Place
from contracts.schedules import ScheduleContract
from integration.scenarios.running import Running, environment, running
from integration.scenarios.schedule_hosts import Hosts
from servers.waiting import wait_until

NOWHERE = Path("/nowhere")
SOON_S = 60.0
YEAR_S = 365 * 86_400
SECONDS = 30.0
SEED = 3


class TestServers(ScheduleContract):
    @pytest.fixture
    def place(self, database_url: str) -> Place:
        return lambda: open_store(database_url, NOWHERE)


def test_each_second_runs_once_on_three_hosts_or_is_known_as_missed(state_dir: Path, database_url: str) -> None:
    """`make schedules` has five minutes."""
    report = Hosts(state_dir, database_url, SEED).run(SECONDS)
    assert report.complaints == [], report
    assert report.again, "no run was cut off"
    assert report.missed, "no time was missed"
    assert report.once > SECONDS / 4, report


class Scene:
    """A configuration of one schedule, the book that its runs write, and masters on it, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = folder / "book"
        self.book.touch()
        self.state_dir = folder / "state"

    def write(self, name: str, **configs: Any) -> None:
        configs = {"every": YEAR_S, "workers": 2, **configs}
        entry = {"module": "integration.scenarios.ticking", "class": name, "configs": configs}
        (self.folder / "config.json").write_text(json.dumps({"g": [entry]}))

    @contextlib.contextmanager
    def master(self) -> Iterator[Running]:
        env = environment(BOOK=str(self.book))
        with running(
            str(self.folder / "config.json"), state_dir=self.state_dir, log=self.folder / "log", env=env
        ) as master:
            master.wait_until_ready(2)
            yield master

    def lines(self, what: str = "") -> list[str]:
        return [line for line in self.book.read_text().splitlines() if line.startswith(what)]

    def wait_for(self, condition: Callable[[], object]) -> None:
        wait_until(condition, deadline_s=SOON_S, message=lambda: f"the book has {self.lines()}")

    def pid_of_begun(self) -> int:
        return int(self.lines("begin")[-1].split()[3])


@pytest.fixture
def scene(state_dir: Path) -> Scene:
    return Scene(state_dir)


EVERY_PAGE = [f"page {page}" for page in range(10)]


def test_a_killed_workers_run_goes_on_from_its_checkpoint(scene: Scene) -> None:
    scene.write("Pages", stops_at=5)
    with scene.master() as master:
        assert master.answer("run-now", "g") == {"pools": ["g/Pages"]}
        scene.wait_for(lambda: len(scene.lines("page")) == 5)
        pid = scene.pid_of_begun()
        slot = next(slot for slot in master.slots() if slot.pid == pid)
        wait_until(lambda: _running_of(master), deadline_s=SOON_S, message="its progress in status")
        master.kill_worker(slot)
        scene.wait_for(lambda: scene.lines("end"))
        assert scene.lines("page") == EVERY_PAGE
        assert [line.split()[1:3] for line in scene.lines("begin")] == [["0", "1"], ["5", "2"]]
        (pool,) = master.status()["pools"]
        assert (pool["failed"], pool["restarts"]) == (0, 1)


def test_a_stop_leaves_a_run_at_its_checkpoint_and_the_next_master_goes_on(scene: Scene) -> None:
    scene.write("Pages", stops_at=5)
    with scene.master() as master:
        master.answer("run-now", "g/Pages")
        scene.wait_for(lambda: len(scene.lines("page")) == 5)
        assert master.stop() == 0
    assert scene.lines("end") == []
    with scene.master() as master:
        scene.wait_for(lambda: scene.lines("end"))
        assert scene.lines("page") == EVERY_PAGE
        assert [line.split()[1:3] for line in scene.lines("begin")] == [["0", "1"], ["5", "2"]]
        assert master.status()["pools"][0]["failed"] == 0


def test_a_run_that_died_goes_on_from_its_checkpoint_when_a_person_has_it_tried_again(scene: Scene) -> None:
    mended = scene.folder / "mended"
    scene.write("Failing", mended=str(mended))
    with scene.master() as master:
        master.answer("run-now", "g")
        wait_until(master.parked, deadline_s=SOON_S, message="the dead run")
        (task,) = master.parked()
        assert (task["state"], "the fourth page is broken" in task["error"]) == ("dead", True)
        mended.touch()
        assert master.verb("parked", "retry", "--all").returncode == 0
        scene.wait_for(lambda: scene.lines("end"))
        assert scene.lines("page") == EVERY_PAGE
        assert master.parked() == []


def test_what_cannot_be_run_now_is_refused_with_a_sentence(scene: Scene) -> None:
    scene.write("Pages", stops_at=0)
    with scene.master() as master:
        master.answer("pause", "g")
        refused = master.verb("run-now", "g")
        assert (refused.returncode, refused.stderr.decode()) == (
            2,
            "consumerd: nothing is run: g/Pages is paused: ask again after consumerd resume g/Pages\n",
        )
        assert "there is no pool 'x'" in master.verb("run-now", "x").stderr.decode()


def test_the_next_runs_are_shown_and_a_run_by_hand_leaves_them(scene: Scene) -> None:
    scene.write("Pages", stops_at=0)
    with scene.master() as master:

        def schedule() -> Any:  # as in the schema
            return master.status()["pools"][0]["schedule"]

        wait_until(schedule, deadline_s=SOON_S, message="the schedule in status")
        before = schedule()["next"]
        assert [later - before[0] for later in before] == [0, YEAR_S, 2 * YEAR_S]
        master.answer("run-now", "g")
        scene.wait_for(lambda: scene.lines("end"))
        assert scene.lines("begin")[0].endswith("True")
        wait_until(lambda: schedule()["finished"] == 1, deadline_s=SOON_S, message="the run in status")
        assert schedule()["next"] == before
        assert "next runs: " in master.verb("status").stdout.decode()


def test_a_run_can_be_tried_in_the_foreground(scene: Scene) -> None:
    scene.write("Pages", stops_at=0, timezone="Asia/Tokyo")
    command = [sys.executable, "-m", "consumerd", "task", "g/Pages", "--config", str(scene.folder / "config.json")]
    env = environment(BOOK=str(scene.book))
    done = subprocess.run(command, env=env, capture_output=True, timeout=SOON_S, check=False)
    assert (done.returncode, done.stdout) == (0, b"done\n"), done.stderr
    assert (scene.lines("page"), scene.lines("zone")) == (EVERY_PAGE, ["zone JST"])
    entry = {"module": "integration.scenarios.small_pools", "class": "Ending"}
    (scene.folder / "config.json").write_text(json.dumps({"g": [entry]}))
    command[4] = "g/Ending"
    refused = subprocess.run(command, env=env, capture_output=True, timeout=SOON_S, check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        b"consumerd: g/Ending needs a record: name one with --record JSON|@FILE\n",
    )


def _running_of(master: Running) -> bool:
    """Whether `status` shows how far the run has come."""
    runs = (master.status()["pools"][0]["schedule"] or {"running": []})["running"]
    return [(run["done"], run["total"]) for run in runs] == [(5.0, 10.0)]
