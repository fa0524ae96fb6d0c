"""A worker that runs many tasks at once, and one of them ends it, hangs, or blocks all: nobody else suffers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.many_at_once import Place
from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import entry, pool, stop, wait_for, write_config
from servers.waiting import wait_until

MODULE = "integration.scenarios.many_at_once"
END_S = 90.0
AT_ONCE = 30
POISON = 17
FIFTY = 50


class Scene(Place):
    """The tasks' place, and a master on one consumer of a table of rows."""

    def __init__(self, directory: Path, masters: contextlib.ExitStack) -> None:
        super().__init__(str(directory))
        self.database = str(directory / "rows.sqlite")
        self._masters = masters
        self.master: Running

    def start(self, name: str, ends: dict[int, str], count: int = AT_ONCE, **configs: Any) -> Running:
        create_table(self.database)
        enqueue(self.database, [{"number": number, "end": ends.get(number)} for number in range(count)])
        more = {"database": self.database, "place": str(self.directory), "together": AT_ONCE, "concurrency": AT_ONCE}
        config = write_config(self.directory, entry(name, module=MODULE, **{**more, "batch_size": count, **configs}))
        where = {"state_dir": self.directory / "state", "log": self.directory / "log"}
        self.master = self._masters.enter_context(running(config, **where, env=environment()))
        return self.master

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, deadline_s=END_S, message=lambda: f"{what}, now {self.states()}{self.master.tail()}")

    def wait_states(self, **states: int) -> None:
        self.wait(lambda: self.states() == states, f"{states}")

    def states(self) -> Counter[str]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return Counter(state for (state,) in connection.execute("SELECT state FROM tasks"))

    def facts(self, name: str) -> list[Answer]:
        lines = [line for line in self.master.log.read_text().splitlines() if line.startswith("{")]
        return [fact for fact in map(json.loads, lines) if fact["event"] == name]

    def only(self, name: str) -> Answer:
        facts = self.facts(name)
        assert len(facts) == 1, f"{name}: {facts}{self.master.tail()}"
        return facts[0]

    def wait_begun(self) -> None:
        self.wait(lambda: len(self.numbers("begun")) >= AT_ONCE, f"{AT_ONCE} that run")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with contextlib.ExitStack() as masters:
        yield Scene(tmp_path, masters)


def worker(found: Answer) -> Answer:
    return found["pools"][0]["workers"][0]


@pytest.mark.parametrize(("end", "how", "deaths"), [("exit", "exit 3", 3), ("segfault", "SIGSEGV", 2)])
def test_of_thirty_that_ran_in_a_dead_worker_the_poison_alone_is_parked(
    scene: Scene, end: str, how: str, deaths: int
) -> None:
    """The poison itself ends the worker first, beside 29 others; then each of them runs alone."""
    master = scene.start("Threads", {POISON: end}, crash_limit=deaths)
    scene.wait(lambda: scene.facts("tasks_suspected"), "the first death")
    (scene.directory / "go").touch()
    scene.wait_states(done=AT_ONCE - 1, dead=1)
    (dead,) = master.parked()
    told = f"{how} beside others, {deaths} × {how}"
    assert dead["error"] == f"the workers that ran it died: {told} (crashes {deaths}, limit {deaths})"
    together = scene.only("tasks_suspected")
    assert (together["tasks"], together["end"]) == (AT_ONCE, how)
    alone = scene.facts("task_suspected")
    assert len(alone) == deaths
    assert {fact["task"] for fact in alone} == {dead["task_id"]}
    assert scene.facts("pool_failed") == []
    assert set(scene.numbers("done")) == set(range(AT_ONCE)) - {POISON}
    assert pool(master, "threads")["suspects"] == 0
    assert stop(master) == 0


def test_thirty_that_were_running_when_somebody_killed_their_worker_are_done(scene: Scene) -> None:
    master = scene.start("Threads", {}, crash_limit=1)
    scene.wait_begun()
    os.kill(worker(master.status())["pid"], signal.SIGKILL)
    (scene.directory / "go").touch()
    scene.wait_states(done=AT_ONCE)
    assert master.parked() == []
    together = scene.only("tasks_suspected")
    assert together["tasks"] == AT_ONCE
    assert stop(master) == 0


@pytest.mark.parametrize("end", ["sleep", "turn"])
def test_a_thread_that_hangs_is_found_though_the_others_go_on_and_alone_is_blamed(scene: Scene, end: str) -> None:
    (scene.directory / "go").touch()
    rows = 4 * AT_ONCE
    master = scene.start("Threads", {POISON: end}, rows, task_timeout=3, crash_limit=2)
    scene.wait_states(done=rows)
    killed = scene.only("worker_killed")
    assert killed["reason"].startswith(f"stuck: it has been on tasks:{POISON + 1} for ")
    assert killed["offset"] == POISON
    assert len(set(scene.numbers("done"))) == rows
    suspected = scene.only("task_suspected")
    assert suspected["crashes"] == 1
    assert scene.facts("tasks_suspected") == master.parked() == []
    end_of = worker(wait_for(master, lambda found: worker(found)["last_end"], "a flight record"))["last_end"]
    assert end_of["culprit"] == {"shard": 0, "offset": POISON}
    assert [lane["cursor"] for lane in end_of["board"]["lanes"]] == [POISON]
    assert stop(master) == 0


def test_a_coroutine_that_waits_for_ever_is_alone_blamed(scene: Scene) -> None:
    (scene.directory / "go").touch()
    master = scene.start("EventLoop", {POISON: "wait"}, 4 * AT_ONCE, task_timeout=3, crash_limit=2)
    scene.wait_states(done=4 * AT_ONCE)
    killed = scene.only("worker_killed")
    assert killed["offset"] == POISON
    assert scene.facts("tasks_suspected") == master.parked() == []
    assert stop(master) == 0


def test_a_coroutine_that_blocks_all_others_is_found_by_running_each_alone(scene: Scene) -> None:
    """All thirty are past the timeout, and twenty-nine of them only waited for the one that sleeps."""
    master = scene.start("EventLoop", {POISON: "block"}, task_timeout=3, crash_limit=2)
    scene.wait(lambda: scene.facts("tasks_suspected"), "the first death")
    (scene.directory / "go").touch()
    scene.wait_states(done=AT_ONCE - 1, dead=1)
    assert len(scene.facts("task_suspected")) == 2
    assert len(scene.facts("worker_killed")) == 3
    assert set(scene.numbers("done")) == set(range(AT_ONCE)) - {POISON}
    assert stop(master) == 0


def test_status_tells_how_many_run_the_oldest_and_each_on_request(scene: Scene) -> None:
    master = scene.start("Threads", {})
    scene.wait_begun()
    found = worker(wait_for(master, lambda found: worker(found).get("running") == AT_ONCE, "thirty"))
    assert found["task"] == f"small/threads#0:0:{found['offset']}"
    assert "tasks" not in found
    listed = worker(master.answer("status", "--tasks"))["tasks"]
    assert {each["task"] for each in listed} == {f"small/threads#0:0:{number}" for number in range(AT_ONCE)}
    assert len({each["id"] for each in listed}) == AT_ONCE
    assert all(each["id"].startswith("tasks:") for each in listed), listed
    shown = master.verb("status", "--tasks").stdout.decode()
    assert f"{AT_ONCE} of {AT_ONCE} tasks, the oldest offset {found['offset']} of shard 0" in shown
    assert shown.count("small/threads#0:0:") == AT_ONCE
    done = master.verb("cancel", "small/threads#0")
    told = f"worker 0 of small/threads runs {AT_ONCE} tasks: name one, as small/threads#0:0:"
    assert done.returncode == 2
    assert told in done.stderr.decode()
    (scene.directory / "go").touch()
    scene.wait_states(done=AT_ONCE)
    assert stop(master) == 0


# Interrupted


@pytest.mark.parametrize(("name", "end"), [("Threads", "turn"), ("EventLoop", "wait")])
def test_one_among_fifty_is_cancelled_and_tried_again(scene: Scene, name: str, end: str) -> None:
    master = scene.start(name, {POISON: end}, FIFTY, together=FIFTY, concurrency=FIFTY)
    task = f"small/{name.lower()}#0:0:{POISON}"
    scene.wait(lambda: scene.has("turned") or scene.has("waited"), "the one that never ends")
    before = worker(master.status())
    assert master.answer("cancel", task)["task"] == task
    scene.wait(lambda: scene.numbers("begun").count(POISON) == 2, "its second attempt")
    (scene.directory / "go").touch()
    scene.wait_states(done=FIFTY)
    assert Counter(scene.numbers("begun")) == Counter({**dict.fromkeys(range(FIFTY), 1), POISON: 2})
    assert (worker(master.status())["pid"], master.parked()) == (before["pid"], [])
    assert scene.facts("worker_killed") == scene.facts("task_failed") == []
    assert stop(master) == 0


@pytest.mark.parametrize(("name", "end"), [("Threads", "turn"), ("EventLoop", "wait")])
def test_one_among_fifty_is_cancelled_and_parked(scene: Scene, name: str, end: str) -> None:
    master = scene.start(name, {POISON: end}, FIFTY, together=FIFTY, concurrency=FIFTY, task_retry_times=5)
    scene.wait(lambda: scene.has("turned") or scene.has("waited"), "the one that never ends")
    master.answer("cancel", f"small/{name.lower()}#0:0:{POISON}", "--park")
    (scene.directory / "go").touch()
    scene.wait_states(done=FIFTY - 1, dead=1)
    (dead,) = master.parked()
    assert (dead["error"], dead["attempts"]) == ("an operator cancelled it, and had it parked", 1)
    assert scene.facts("worker_killed") == []
    assert stop(master) == 0


def test_a_thread_in_a_call_of_c_is_cancelled_with_its_worker_and_nobody_else_is_blamed(scene: Scene) -> None:
    master = scene.start("Threads", {POISON: "sleep"}, crash_limit=2)
    scene.wait(lambda: scene.has("slept"), "the one that sleeps")
    master.answer("cancel", f"small/threads#0:0:{POISON}")
    scene.wait(lambda: scene.facts("worker_killed"), "the end of its worker")
    (scene.directory / "go").touch()
    scene.wait_states(done=AT_ONCE)
    killed = scene.only("worker_killed")
    assert killed["reason"] == f"cancelled by an operator, on offset {POISON} of shard 0"
    end = worker(wait_for(master, lambda found: worker(found)["last_end"], "a flight record"))["last_end"]
    assert "in end" in end["stacks"]
    assert scene.facts("tasks_suspected") == master.parked() == []
    assert stop(master) == 0


def test_a_loop_in_a_thread_fails_at_its_soft_timeout_and_nobody_else_does(scene: Scene) -> None:
    (scene.directory / "go").touch()
    master = scene.start("Threads", {POISON: "turn"}, soft_timeout=2, task_retry_times=1)
    scene.wait_states(done=AT_ONCE)
    failed = scene.only("task_failed")
    assert (failed["offset"], failed["error"]) == (POISON, "TaskInterrupted: soft_timeout, 2 s, is over")
    assert (scene.facts("worker_killed"), worker(master.status())["generation"]) == ([], 1)
    assert stop(master) == 0


@pytest.mark.parametrize("end", ["wait", "block"])
def test_a_coroutine_fails_at_its_soft_timeout_and_nobody_else_does(scene: Scene, end: str) -> None:
    """Also one that blocks the event loop, which makes all others as late as it is."""
    master = scene.start("EventLoop", {POISON: end}, soft_timeout=3)
    scene.wait_states(done=AT_ONCE - 1, dead=1)
    (dead,) = master.parked()
    assert dead["error"] == "TaskInterrupted: soft_timeout, 3 s, is over"
    assert [fact["offset"] for fact in scene.facts("task_failed")] == [POISON]
    assert (scene.facts("worker_killed"), worker(master.status())["generation"]) == ([], 1)
    assert stop(master) == 0
