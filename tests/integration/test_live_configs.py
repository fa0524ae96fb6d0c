"""Keys that a class takes live: a reload changes them while its workers run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, wait_for, wait_running, write_config
from servers.waiting import wait_until

MODULE = """
import time
from pydantic import BaseModel
from consumerd import BaseConsumer


class Painting(BaseConsumer):
    LIVE_CONFIGS = ("color", "size")

    class Config(BaseModel):
        file: str
        color: str = "none"
        size: int = 1
        brush: str = "flat"

    reloads = 0

    def reload_config(self):
        self.reloads += 1

    def iterate_task(self):
        number = 0
        while not self.can_stop_consume():
            yield number, {"id": f"{self.worker_id}-{number}"}
            number += 1
            time.sleep(0.01)

    def handle_task(self, offset, record):
        with open(self.config["file"], "a") as file:
            config = self.config
            file.write(f"{self.worker_id} {config['color']} {config['size']} {config['brush']} {self.reloads}\\n")
"""


class Studio:
    """One pool of two workers on `MODULE`; what they do is in a file."""

    def __init__(self, directory: Path, masters: contextlib.ExitStack) -> None:
        self.directory = directory
        (directory / "painting.py").write_text(MODULE)
        self.configure()
        self.master: Running = masters.enter_context(
            running(
                str(directory / "config.json"),
                state_dir=directory / "state",
                log=directory / "log",
                env=environment(),
            )
        )
        self.pids = pids(wait_running(self.master, 2))

    def configure(self, **configs: Any) -> None:
        own = {"file": str(self.directory / "done"), **configs}
        write_config(self.directory, entry("Painting", 2, module="painting", **own) | {"name": "one"})

    def wait_painted(self, line: Callable[[str], str]) -> None:
        """Until each worker has written a line that begins so."""

        def is_there() -> bool:
            lines = (self.directory / "done").read_text().splitlines()
            return all(any(each.startswith(line(worker)) for each in lines) for worker in "01")

        wait_until(is_there, deadline_s=SOON_S, message=lambda: self.master.tail())


def pool(found: Answer) -> Answer:
    [only] = found["pools"]
    return only


def pids(found: Answer) -> list[int]:
    return [worker["pid"] for worker in pool(found)["workers"]]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with contextlib.ExitStack() as masters:
        yield Studio(tmp_path, masters)


def test_a_live_key_changes_while_the_workers_run_and_their_hook_is_called(studio: Studio) -> None:
    studio.wait_painted(lambda worker: f"{worker} none 1 flat 1")
    studio.configure(color="red")
    assert studio.master.answer("reload")["changes"] == ["small/one amended (color)"]
    studio.wait_painted(lambda worker: f"{worker} red 1 flat 2")
    assert pids(studio.master.status()) == studio.pids
    assert studio.master.answer("reload")["changes"] == []


def test_who_is_started_later_has_the_new_value_also_of_a_new_zygote(studio: Studio) -> None:
    studio.configure(color="red")
    studio.master.answer("reload")
    studio.wait_painted(lambda worker: f"{worker} red 1 flat 2")
    studio.master.answer("scale", "small/one", "3")
    found = wait_running(studio.master, 3)
    third = studio.directory / "done"
    wait_until(lambda: "2 red 1 flat 1" in third.read_text(), deadline_s=SOON_S, message=studio.master.tail)
    zygote = pool(found)["zygote"]["pid"]
    os.kill(zygote, signal.SIGKILL)
    wait_for(studio.master, lambda now: pool(now)["zygote"]["pid"] not in (None, zygote), "another zygote")
    third.write_text("")
    os.kill(pids(found)[2], signal.SIGKILL)
    wait_until(lambda: "2 red 1 flat 1" in third.read_text(), deadline_s=SOON_S, message=studio.master.tail)


def test_a_value_that_is_wrong_is_taken_back_and_nobody_is_touched(studio: Studio) -> None:
    studio.configure(size="large")
    assert studio.master.answer("reload")["changes"] == ["small/one amended (size)"]
    found = wait_for(studio.master, lambda now: pool(now)["last_error"] is not None, "an error")
    assert pids(found) == studio.pids
    assert pool(found)["last_error"]["name"] == "change_taken_back"
    assert "size" in json.dumps(pool(found)["last_error"])
    studio.configure(size=2)
    studio.master.answer("reload")
    studio.wait_painted(lambda worker: f"{worker} none 2 flat 2")
    assert pids(studio.master.status()) == studio.pids


def test_another_key_beside_a_live_one_is_a_new_edition(studio: Studio) -> None:
    studio.configure(color="red", brush="round")
    assert studio.master.answer("reload")["changes"] == ["small/one replaced (color, brush)"]
    studio.wait_painted(lambda worker: f"{worker} red 1 round 1")
    assert not set(pids(studio.master.status())) & set(studio.pids)


def test_a_live_key_that_is_not_the_consumers_own_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "painting.py").write_text(MODULE.replace('"size")', '"workers")'))
    config = write_config(tmp_path, entry("Painting", 2, module="painting", file="f"))
    log = tmp_path / "log"
    with running(config, state_dir=tmp_path / "state", log=log, env=environment()) as master:
        found = wait_for(master, lambda now: pool(now)["state"] == "failed", "a failed pool")
        assert "LIVE_CONFIGS names 'workers'" in pool(found)["reason"]
