"""The flight recorder, with real processes: what a worker did last can be asked while it lives, and after a kill."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.wire.control import call
from integration.scenarios.running import Answer, Running
from integration.scenarios.small_masters import pool, stop, wait_for, wait_replaced
from integration.test_suspects import Place

ROWS, HELD = 120, 71


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:
        yield Place(tmp_path, masters)


def recent(master: Running) -> Answer:
    """The one worker, with what it has ended last."""
    found = call(master.state_dir / "control.sock", "status", {"recent": True, "tasks": True})
    return found["pools"][0]["workers"][0]


@pytest.mark.parametrize("name", ["OfTable", "OfTableByHooks"])
def test_a_worker_that_is_killed_in_the_middle_leaves_what_it_did_last(place: Place, name: str) -> None:
    go = place.directory / "go"
    rows = [{"number": number, "end": f"until {go}" if number == HELD else None} for number in range(1, ROWS + 1)]
    master = place.start_on_table(rows, name)
    held = f"tasks:{HELD}"
    wait_for(
        master, lambda _: [task["id"] for task in recent(master).get("tasks", [])] == [held], "the task that waits"
    )

    living = recent(master)["recent"]
    assert living["torn"] == 0
    assert {each["outcome"] for each in living["ended"]} == {"done"}
    lines = master.verb("status", "--recent").stdout.decode()
    assert str(living["ended"][0]["id"]) in lines
    (plain,) = pool(master, name.lower())["workers"]
    assert "recent" not in plain

    os.kill(plain["pid"], signal.SIGKILL)
    wait_replaced(master, name.lower(), 0, plain["pid"])
    death = recent(master)["last_end"]
    assert death["running"] == [held]
    assert death["recent"] == living, "the board outlives its worker"
    newest = death["recent"]["ended"][0]
    handed_back = sum(each["tasks"] for each in death["recent"]["ended"])
    assert newest["id"] == f"tasks:{handed_back}"
    assert handed_back < HELD if name == "OfTable" else handed_back in range(1, HELD)
    (told,) = place.events("death_recorded")
    assert (told["ran"], newest["id"] in told["before"]) == (held, True)
    assert pool(master, name.lower())["workers"][0]["last_end"]["recent"] is None

    go.touch()
    place.wait_states(master, done=ROWS)
    assert stop(master) == 0
