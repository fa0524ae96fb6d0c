"""`on_event`: a real command of a real master."""

from __future__ import annotations

import contextlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, is_alive, wait_for, wait_running
from servers.waiting import wait_until

MODULE = '''
import os
from consumerd import BaseConsumer, Dead

class Dying(BaseConsumer):
    """Each task is dead, to be looked at by a person."""

    def iterate_task(self):
        for number in range(self.config.get("tasks", 1)):
            yield number, {"id": str(number)}

    def handle_task(self, offset, record):
        return Dead("nobody wants it")

class Crashing(BaseConsumer):
    def iterate_task(self):
        yield 0, {"id": "only"}

    def handle_task(self, offset, record):
        os._exit(3)
'''

COMMAND = """#!/bin/sh
cat > "$1/$CONSUMERD_EVENT.$$.new"
echo "$CONSUMERD_CONSUMER $CONSUMERD_LEVEL $CONSUMERD_STATE_DIR" > "$1/$CONSUMERD_EVENT.$$.variables"
mv "$1/$CONSUMERD_EVENT.$$.new" "$1/$CONSUMERD_EVENT.$$.json"
echo "words of the command" >&2
"""


class Place:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told_in = directory / "told"
        self.told_in.mkdir()
        (directory / "dying.py").write_text(MODULE)

    def write_command(self, text: str = COMMAND) -> list[str]:
        path = self.directory / "command"
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return [str(path), str(self.told_in)]

    @contextlib.contextmanager
    def running(self, on_event: list[str], *entries: Answer) -> Iterator[Running]:
        config = self.directory / "config.json"
        settings = {"stop_timeout": 2, "on_event": on_event, "log": {"level": "debug"}}
        config.write_text(json.dumps({"small": list(entries), "consumerd": settings}))
        state, log = self.directory / "state", self.directory / "log"
        with running(str(config), state_dir=state, log=log, env=environment()) as master:
            yield master

    def wait_told(self, event: str, count: int = 1) -> list[Answer]:
        def look() -> list[Path] | None:
            found = sorted(self.told_in.glob(f"{event}.*.json"))
            return found if len(found) >= count else None

        files = wait_until(look, deadline_s=SOON_S, message=lambda: f"{event} in {list(self.told_in.iterdir())}")
        return [json.loads(file.read_text()) for file in files]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def wait_logged(master: Running, text: str, count: int = 1) -> None:
    wait_until(
        lambda: master.log.read_text().count(text) >= count,
        deadline_s=SOON_S,
        message=lambda: f"{text}{master.tail()}",
    )


def test_a_command_is_told_of_a_dead_task_and_its_end_is_reported(place: Place) -> None:
    with place.running(place.write_command(), entry("Dying", module="dying", tasks=3)) as master:
        told = place.wait_told("task_died", 3)
        assert {each["consumer"] for each in told} == {"small/dying"}
        assert {each["state"] for each in told} == {"dead"}
        assert all("nobody wants it" in each["error"] for each in told)
        variables = next(place.told_in.glob("*.variables")).read_text().split()
        assert variables == ["small/dying", "error", str(master.state_dir)]
        wait_logged(master, "event_command_ended", 3)
        assert master.log.read_text().count('"end": "exit 0"') >= 3
        assert "words of the command" in master.log.read_text()


def test_a_command_is_told_when_a_pool_fails(place: Place) -> None:
    with place.running(place.write_command(), entry("Crashing", module="dying"), entry("Counting")) as master:
        [failed] = place.wait_told("pool_failed")
        assert failed["consumer"] == "small/crashing"
        assert "workers died within 60 s" in failed["reason"]
        assert wait_running(master, 1)["pools"][1]["state"] == "up"


def test_a_command_that_fails_is_reported_and_the_next_one_runs(place: Place) -> None:
    on_event = place.write_command("#!/bin/sh\necho it broke\nexit 7\n")
    with place.running(on_event, entry("Dying", module="dying", tasks=2)) as master:
        wait_logged(master, '"end": "exit 7"', 2)
        assert "it broke" in master.log.read_text()


def test_one_runs_at_a_time_and_none_outlives_the_master(place: Place) -> None:
    on_event = place.write_command('#!/bin/sh\necho $$ > "$1/started.$$"\nexec sleep 3600\n')
    with place.running(on_event, entry("Dying", module="dying", tasks=5)) as master:
        wait_until(lambda: list(place.told_in.iterdir()), deadline_s=SOON_S, message="the command")
        wait_for(master, lambda found: found["pools"][0]["parked"] == 5, "the dead tasks")
        [started] = place.told_in.iterdir()
        assert master.stop() == 0
        pid = int(started.suffix[1:])
        wait_until(lambda: not is_alive(pid), deadline_s=SOON_S, message="the command's end")
        assert list(place.told_in.iterdir()) == [started]


def test_a_program_that_is_not_there_is_a_mistake_of_the_configuration(place: Place) -> None:
    config = place.directory / "config.json"
    config.write_text(json.dumps({"small": [entry("Counting")], "consumerd": {"on_event": ["/no/such/program"]}}))
    state, log = place.directory / "state", place.directory / "log"
    with running(str(config), state_dir=state, log=log, env=environment()) as master:
        assert master.process.wait(SOON_S) == 2
        assert 'consumerd.on_event: there is no program "/no/such/program"' in log.read_text()


def test_a_program_that_vanishes_is_reported_and_a_reload_names_another(place: Place) -> None:
    on_event = place.write_command()
    with place.running(on_event, entry("Dying", module="dying", tasks=1)) as master:
        place.wait_told("task_died")
        Path(on_event[0]).unlink()
        master.answer("restart", "small")
        wait_logged(master, "event_command_not_executed")
        other = place.directory / "other"
        other.write_text(COMMAND)
        other.chmod(0o700)
        config = place.directory / "config.json"
        document = json.loads(config.read_text())
        document["consumerd"]["on_event"][0] = str(other)
        config.write_text(json.dumps(document))
        assert master.verb("reload").stdout == b"on_event: taken over, nobody restarts\n"
        assert master.verb("reload").stdout == b"nothing differs\n"
        master.answer("restart", "small")
        place.wait_told("task_died", 2)
