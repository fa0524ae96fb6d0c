"""What operators do to running pools: nobody is restarted who need not be, and a bad change is taken back."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, pool, stop, wait_for, wait_running, write_config
from servers.waiting import wait_until

MODULE = '''
import time
from pathlib import Path
from consumerd import BaseConsumer

EDITION = "{edition}"


class Writing(BaseConsumer):
    """Yields numbers for ever; each task appends its edition and its setting to a file."""

    def iterate_task(self):
        number = 0
        while not self.can_stop_consume():
            yield number, {{"id": f"{{self.worker_id}}-{{number}}"}}
            number += 1
            time.sleep(0.01)

    def handle_task(self, offset, record):
        with open(self.config["file"], "a") as file:
            file.write(f"{{EDITION}} {{self.config.get('color')}} {{self.worker_id}}\\n")
        {body}
'''


class Place:
    """A directory with a configuration, and the module that it names."""

    def __init__(self, directory: Path, masters: contextlib.ExitStack) -> None:
        self.directory = directory
        self._masters = masters
        self._started = 0
        self._written = 0

    def write_module(self, edition: str, body: str = "pass") -> None:
        """Of another size each time: Python takes a file of the same size and second for the one it has compiled."""
        self._written += 1
        text = MODULE.format(edition=edition, body=body) + "\n" * self._written
        (self.directory / "writing.py").write_text(text)

    def configure(self, **pools: dict[str, Any]) -> str:
        entries = [
            entry("Writing", module="writing", **{"file": str(self.directory / name), **configs}) | {"name": name}
            for name, configs in pools.items()
        ]
        return write_config(self.directory, *entries)

    def start(self) -> Running:
        self._started += 1
        return self._masters.enter_context(
            running(
                str(self.directory / "config.json"),
                state_dir=self.directory / "state",
                log=self.directory / f"log{self._started}",
                env=environment(),
            )
        )

    def written(self, name: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / name).read_text().splitlines()
        return []

    def wait_written(self, name: str, start: str) -> None:
        wait_until(
            lambda: any(line.startswith(start) for line in self.written(name)),
            deadline_s=SOON_S,
            message=lambda: f"a line with {start!r}",
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:
        place = Place(tmp_path, masters)
        place.write_module("first")
        yield place


def pids(found: Answer, name: str) -> list[int]:
    workers = next(pool for pool in found["pools"] if pool["name"] == f"small/{name}")["workers"]
    return [worker["pid"] for worker in workers]


def refused(master: Running, *arguments: str) -> str:
    """The one sentence with which a verb was refused."""
    done = master.verb(*arguments)
    assert done.returncode == 2, done
    sentence = done.stderr.decode()
    assert sentence.count("\n") == 1, sentence
    assert "Traceback" not in sentence
    return sentence


def of_edition(name: str, edition: int, workers: int) -> Callable[[Answer], bool]:
    """Whether a pool has so many running workers, all of one edition."""

    def holds(found: Answer) -> bool:
        slots = next(pool for pool in found["pools"] if pool["name"] == f"small/{name}")["workers"]
        running = [slot for slot in slots if slot["state"] == "running" and slot["edition"] == edition]
        return len(running) == len(slots) == workers

    return holds


def test_more_workers_restart_nobody_and_fewer_leave_from_the_highest_slot(place: Place) -> None:
    place.configure(one={"workers": 2})
    master = place.start()
    two = pids(wait_running(master, 2), "one")
    scaled = {"name": "small/one", "workers": 4, "helping": None}
    assert master.answer("scale", "small/one", "4") == {"pools": [scaled]}
    four = pids(wait_running(master, 4), "one")
    assert four[:2] == two
    master.answer("scale", "small", "1")
    one = wait_for(master, lambda found: pids(found, "one") == four[:1], "one worker")
    assert one["is_healthy"]


def test_a_pinned_number_holds_over_a_restart_of_the_master_until_it_is_undone(place: Place) -> None:
    place.configure(one={"workers": 1})
    master = place.start()
    wait_running(master, 1)
    master.answer("scale", "small/one", "3")
    wait_running(master, 3)
    stop(master)
    master = place.start()
    found = wait_running(master, 3)["pools"][0]
    assert (found["workers_configured"], found["workers_pinned"], found["workers_wanted"]) == (1, 3, 3)
    master.answer("scale", "small/one", "auto")
    assert wait_running(master, 1)["pools"][0]["workers_pinned"] is None


def test_a_pinned_number_that_was_undone_while_no_master_ran_does_not_come_back(place: Place) -> None:
    place.configure(one={"workers": 1})
    master = place.start()
    wait_running(master, 1)
    master.answer("scale", "small/one", "3")
    stop(master)
    place.configure(one={"workers": 2})
    master = place.start()
    assert wait_running(master, 2)["pools"][0]["workers_pinned"] is None
    stop(master)
    place.configure(one={"workers": 1})
    assert wait_running(place.start(), 1)["pools"][0]["workers_pinned"] is None


def test_a_configuration_with_another_number_undoes_a_pinned_one(place: Place) -> None:
    place.configure(one={"workers": 1})
    master = place.start()
    wait_running(master, 1)
    master.answer("scale", "small/one", "3")
    before = pids(wait_running(master, 3), "one")
    place.configure(one={"workers": 2})
    assert master.answer("reload")["changes"] == ["small/one amended (workers)"]
    found = wait_for(master, lambda found: pids(found, "one") == before[:2], "the third worker gone, the others kept")
    assert found["pools"][0]["workers_pinned"] is None


def test_a_paused_pool_handles_nothing_and_keeps_its_workers_also_new_ones(place: Place) -> None:
    place.configure(one={"workers": 1}, other={"workers": 1})
    master = place.start()
    before = pids(wait_running(master, 2), "one")
    master.answer("pause", "small/one")
    master.answer("scale", "small/one", "2")
    found = wait_running(master, 3)
    assert pids(found, "one")[:1] == before
    assert found["pools"][0]["paused"]["by"] == pwd.getpwuid(os.geteuid()).pw_name
    assert b" UTC by " in master.verb("status").stdout
    handled = settled_count(master, "one")
    others = pool(master, "other")["handled"]
    wait_for(master, lambda found: found["pools"][1]["handled"] > others + 20, "tasks of the other pool")
    assert pool(master, "one")["handled"] == handled
    master.answer("resume", "small/one")
    wait_for(master, lambda found: found["pools"][0]["handled"] > handled, "tasks of the resumed pool")


def settled_count(master: Running, name: str) -> int:
    """How many tasks a pool has handled, once that has stopped to grow."""
    counts = [-1]

    def rests() -> bool:
        other = pool(master, "other")["handled"]
        wait_for(master, lambda found: found["pools"][1]["handled"] > other + 5, "tasks of the other pool")
        counts.append(pool(master, name)["handled"])
        return counts[-1] == counts[-2]

    wait_until(rests, deadline_s=SOON_S, message="the pool handles on")
    return counts[-1]


def test_a_restart_runs_new_code_slot_by_slot_in_one_new_edition(place: Place) -> None:
    place.configure(one={"workers": 3}, other={"workers": 1})
    master = place.start()
    before = wait_running(master, 4)
    place.write_module("second")
    master.answer("restart", "small/one")
    after = wait_for(master, of_edition("one", 2, 3), "the second edition")
    place.wait_written("one", "second")
    assert not set(pids(after, "one")) & set(pids(before, "one"))
    assert pids(after, "other") == pids(before, "other")
    assert [worker["generation"] for worker in after["pools"][0]["workers"]] == [2, 2, 2]


def test_code_that_cannot_be_imported_is_taken_back_before_anybody_leaves(place: Place) -> None:
    place.configure(one={"workers": 2})
    master = place.start()
    before = pids(wait_running(master, 2), "one")
    place.write_module("second", body="this is no Python")
    master.answer("restart", "small/one")
    found = wait_for(master, lambda found: found["problems"], "the rejection")
    assert "did not hold up" in found["problems"][0]
    assert pids(found, "one") == before
    place.write_module("third")
    master.answer("restart", "small")
    healthy = wait_for(master, of_edition("one", 3, 2), "the third edition")
    assert healthy["is_healthy"]


def test_code_whose_first_worker_dies_goes_back_to_what_ran_before_and_nobody_else_is_touched(place: Place) -> None:
    place.configure(one={"workers": 3})
    master = place.start()
    before = pids(wait_running(master, 3), "one")
    place.write_module("second", body="import os; os._exit(9)")
    master.answer("restart", "small/one")
    wait_for(master, lambda found: found["problems"] and "exit 9" in found["problems"][0], "the rejection")
    found = wait_for(master, of_edition("one", 1, 3), "the first edition")
    assert pids(found, "one")[:2] == before[:2]
    assert {line.split()[2] for line in place.written("one") if line.startswith("second")} == {"2"}


def test_a_reload_restarts_only_the_pools_that_changed_and_adds_and_removes_others(place: Place) -> None:
    place.configure(one={"color": "red"}, two={"color": "red"}, gone={})
    master = place.start()
    before = wait_running(master, 3)
    place.configure(one={"color": "blue"}, two={"color": "red", "max_unavailable": 2}, new={})
    changes = ["small/one replaced (color)", "small/two amended (max_unavailable)", "small/new added"]
    expected = [*changes, "small/gone removed"]
    assert master.answer("reload", "--dry-run")["changes"] == expected
    assert pids(master.status(), "one") == pids(before, "one")
    assert master.answer("reload")["changes"] == expected
    place.wait_written("one", "first blue")
    place.wait_written("new", "first")
    found = wait_for(
        master,
        lambda found: {pool["name"] for pool in found["pools"]} == {"small/one", "small/two", "small/new"},
        "three",
    )
    assert pids(found, "two") == pids(before, "two")
    assert master.answer("reload")["changes"] == []


def test_a_reload_that_was_taken_back_is_tried_again_and_undone_without_a_restart(place: Place) -> None:
    place.configure(one={"color": "red"})
    master = place.start()
    before = pids(wait_running(master, 1), "one")
    place.write_module("second", body="this is no Python")
    place.configure(one={"color": "blue"})
    taken = ["small/one replaced (color)"]
    assert master.answer("reload")["changes"] == taken
    wait_for(master, lambda found: found["problems"], "the rejection")
    assert master.answer("reload", "--dry-run")["changes"] == taken
    place.configure(one={"color": "red"})
    assert master.answer("reload")["changes"] == []
    restored = master.status()
    assert (pids(restored, "one"), restored["is_healthy"]) == (before, True)
    place.write_module("third")
    place.configure(one={"color": "blue"})
    assert master.answer("reload")["changes"] == taken
    place.wait_written("one", "third blue")
    found = wait_for(master, lambda found: found["is_healthy"], "everything healthy")
    assert (found["pools"][0]["reason"], found["pools"][0]["last_error"]) == ("", None)


def test_with_wait_a_restart_and_a_reload_return_when_every_slot_runs_the_change(place: Place) -> None:
    place.configure(one={"workers": 3, "color": "red"})
    master = place.start()
    wait_running(master, 3)
    master.answer("restart", "small", "--wait")
    assert of_edition("one", 2, 3)(master.status())
    place.configure(one={"workers": 3, "color": "blue"})
    master.answer("reload", "--wait")
    assert of_edition("one", 3, 3)(master.status())
    master.answer("reload", "--wait")  # nothing to wait for


def test_a_pool_in_which_everything_fails_is_not_healthy_until_something_succeeds(place: Place) -> None:
    place.configure(one={"workers": 2, "task_retry_times": 0})
    broken = place.directory / "broken"
    place.write_module("first", body=f"__import__('os').path.exists({str(broken)!r}) and 1 / 0")
    master = place.start()
    assert wait_running(master, 2)["is_healthy"]
    broken.touch()
    found = wait_for(master, lambda found: found["problems"], "the streak")
    assert "new tasks have all failed" in found["problems"][0]
    broken.unlink()
    wait_for(master, lambda found: found["is_healthy"], "everything healthy")


def test_with_wait_a_change_that_is_taken_back_is_a_failure_with_its_reason(place: Place) -> None:
    place.configure(one={"workers": 2})
    master = place.start()
    wait_running(master, 2)
    place.write_module("second", body="import os; os._exit(9)")
    done = master.verb("restart", "small", "--wait")
    assert done.returncode == 1
    assert "small/one: the change did not hold up and was taken back: its first worker" in done.stderr.decode()
    audited = [json.loads(line) for line in (place.directory / "state" / "audit.log").read_text().splitlines()]
    assert [line.get("method") or line["event"] for line in audited] == ["restart", "change_taken_back"]
    place.write_module("third", body="this is no Python")
    done = master.verb("restart", "small", "--wait")
    assert done.returncode == 1
    assert "taken back" in done.stderr.decode()


def test_code_whose_first_worker_does_not_come_to_its_loop_is_taken_back(place: Place) -> None:
    place.configure(one={"workers": 2, "task_timeout": 1})
    master = place.start()
    before = pids(wait_running(master, 2), "one")
    place.write_module("second", body="pass\n\n    def pre_consume(self):\n        time.sleep(1000)")
    done = master.verb("restart", "small", "--wait")
    assert done.returncode == 1
    assert "its first worker did not hold up: SIGKILL: stuck: it has not come to its loop" in done.stderr.decode()
    found = wait_for(master, of_edition("one", 1, 2), "the first edition")
    assert pids(found, "one")[:1] == before[:1]


def test_code_that_fails_every_task_is_taken_back(place: Place) -> None:
    place.configure(one={"workers": 2})
    master = place.start()
    before = pids(wait_running(master, 2), "one")
    place.write_module("second", body="raise NameError('prnt')")
    master.answer("restart", "small/one")
    wait_for(master, lambda found: found["problems"] and "each of them failed" in found["problems"][0], "the rejection")
    found = wait_for(master, of_edition("one", 1, 2), "the first edition")
    assert pids(found, "one")[:1] == before[:1]


def test_a_fork_that_the_system_refuses_holds_up_its_slot_and_nobody_else(place: Place) -> None:
    place.configure(one={"workers": 1}, other={"workers": 1})
    master = place.start()
    before = pids(wait_running(master, 2), "other")
    shutil.rmtree(place.directory / "state" / "slots")
    master.answer("restart", "small/one")
    master.answer("scale", "small/other", "2")
    wait_until(lambda: "worker_not_forked" in master.log.read_text(), deadline_s=SOON_S, message="the refusal")
    assert pids(master.status(), "other")[:1] == before
    (place.directory / "state" / "slots").mkdir(mode=0o700)
    found = wait_running(master, 3)
    assert pids(found, "other")[:1] == before


def test_a_reload_while_the_master_stops_changes_nothing(place: Place) -> None:
    place.write_module("first", body="time.sleep(1.5)")
    place.configure(one={}, other={})
    master = place.start()
    wait_running(master, 2)
    place.wait_written("one", "first")
    place.configure(one={"color": "blue"}, other={}, new={})
    os.kill(master.process.pid, signal.SIGTERM)
    wait_until(lambda: "master_stopping" in master.log.read_text(), deadline_s=SOON_S, message="the stop")
    os.kill(master.process.pid, signal.SIGHUP)
    assert master.process.wait(SOON_S) == 0
    assert "configuration_reloaded" not in master.log.read_text()


def test_a_watched_file_that_became_a_pipe_holds_up_nothing(place: Place) -> None:
    config = Path(place.configure(one={"color": "red"}))
    document = json.loads(config.read_text())
    document["consumerd"]["watch"] = True
    config.write_text(json.dumps(document))
    master = place.start()
    wait_running(master, 1)
    config.unlink()
    os.mkfifo(config)
    assert "config.json" in refused(master, "reload")
    config.unlink()
    document["small"][0]["configs"]["color"] = "blue"
    config.write_text(json.dumps(document))
    place.wait_written("one", "first blue")
    assert stop(master) == 0


def test_a_pool_that_is_removed_and_added_again_is_paused_still(place: Place) -> None:
    place.configure(one={}, other={})
    master = place.start()
    wait_running(master, 2)
    master.answer("pause", "small/one")
    place.configure(other={})
    master.answer("reload")
    wait_running(master, 1)
    stop(master)
    master = place.start()
    wait_running(master, 1)
    place.configure(one={}, other={})
    assert master.answer("reload")["changes"] == ["small/one added"]
    assert wait_running(master, 2)["pools"][-1]["is_paused"]


def test_a_reload_that_cannot_keep_what_was_set_by_hand_changes_nothing(place: Place) -> None:
    place.configure(one={"workers": 1})
    master = place.start()
    wait_running(master, 1)
    master.answer("scale", "small/one", "2")
    before = pids(wait_running(master, 2), "one")
    overrides = place.directory / "state" / "overrides.json"
    overrides.unlink()
    overrides.mkdir()
    place.configure(one={"workers": 3}, new={})
    done = master.verb("reload")
    assert (done.returncode, b"nothing was changed" in done.stderr) == (1, True)
    found = master.status()
    assert [pool["name"] for pool in found["pools"]] == ["small/one"]
    assert pids(found, "one") == before


def test_settings_that_the_master_has_read_stay_and_the_reload_says_so(place: Place) -> None:
    config = Path(place.configure(one={}))
    master = place.start()
    before = pids(wait_running(master, 1), "one")
    document = json.loads(config.read_text())
    document["consumerd"] |= {"log": {"level": "debug"}, "stop_timeout": 3}
    config.write_text(json.dumps(document))
    answer = master.answer("reload")
    assert answer["changes"] == ["small/one amended (stop_timeout)"]
    assert answer["remarks"][0].startswith("log is read when the master starts")
    assert pids(wait_running(master, 1), "one") == before


def test_a_hangup_reloads_and_a_mistake_changes_nothing(place: Place) -> None:
    config = place.configure(one={"color": "red"})
    master = place.start()
    before = pids(wait_running(master, 1), "one")
    Path(config).write_text('{"small": [')
    os.kill(master.process.pid, signal.SIGHUP)
    wait_until(lambda: "reload_refused" in master.log.read_text(), deadline_s=SOON_S, message="the refusal")
    done = master.verb("reload")
    assert done.returncode == 2
    assert "config.json" in done.stderr.decode()
    assert pids(master.status(), "one") == before
    place.configure(one={"color": "green"})
    os.kill(master.process.pid, signal.SIGHUP)
    place.wait_written("one", "first green")


def test_a_watched_file_is_reloaded_when_it_has_changed(place: Place) -> None:
    config = Path(place.configure(one={"color": "red"}))
    document = json.loads(config.read_text())
    document["consumerd"]["watch"] = True
    config.write_text(json.dumps(document))
    master = place.start()
    wait_running(master, 1)
    document["small"][0]["configs"]["color"] = "blue"
    config.write_text(json.dumps(document))
    place.wait_written("one", "first blue")


def test_a_crash_loop_fails_its_pool_and_one_slot_brings_it_back(place: Place) -> None:
    place.configure(one={"workers": 2}, other={})
    place.write_module(
        "first", body=f"__import__('os').path.exists({str(place.directory / 'mended')!r}) or __import__('os')._exit(3)"
    )
    master = place.start()
    found = wait_for(master, lambda found: any(pool["state"] == "failed" for pool in found["pools"]), "the failure")
    failed = next(pool for pool in found["pools"] if pool["state"] == "failed")
    assert "workers died within 60 s" in failed["reason"]
    assert "exit 3" in failed["reason"]
    (place.directory / "mended").touch()
    master.answer("restart", "small")
    wait_for(master, lambda found: found["is_healthy"], "everything healthy")


@pytest.mark.parametrize("verb", ["scale", "pause", "resume", "restart"])
def test_a_wrong_target_gets_one_sentence_with_what_there_is(place: Place, verb: str) -> None:
    place.configure(one={})
    master = place.start()
    wait_running(master, 1)
    more = ["2"] if verb == "scale" else []
    assert "did you mean 'small/one'" in refused(master, verb, "small/on", *more)
    assert "small/one" in refused(master, verb, "elsewhere", *more)


def test_the_configuration_names_the_state_directory_unless_the_caller_does(place: Place) -> None:
    place.configure(one={})
    config = place.directory / "config.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "consumerd": {"state_dir": "kept"}}))
    command = [sys.executable, "-m", "consumerd", "run", str(config)]
    process = subprocess.Popen(command, env=environment(CONSUMERD_STATE_DIR=""), stdout=subprocess.DEVNULL)
    try:
        kept = place.directory / "kept"
        wait_until((kept / "control.sock").exists, deadline_s=SOON_S, message="the master in its configured directory")
    finally:
        process.terminate()
        assert process.wait(SOON_S) == 0


def test_a_wrong_number_gets_one_sentence(place: Place) -> None:
    place.configure(one={})
    master = place.start()
    wait_running(master, 1)
    for number in ("0", "4097", "many", "1.5", ""):
        assert "number of workers" in refused(master, "scale", "small/one", number)


def test_every_act_is_in_the_audit_log_with_who_and_how_it_ended(place: Place) -> None:
    place.configure(one={})
    master = place.start()
    wait_running(master, 1)
    master.answer("scale", "small/one", "2")
    master.verb("pause", "elsewhere")
    master.status()
    audit = place.directory / "state" / "audit.log"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["method"], line["failed"] is None) for line in lines] == [("scale", True), ("pause", False)]
    assert lines[0]["uid"] == os.geteuid()
    assert lines[0]["params"] == {"target": "small/one", "workers": 2}
    assert audit.stat().st_mode & 0o777 == 0o600


def test_a_worker_whose_descriptors_were_closed_from_within_is_replaced(place: Place) -> None:
    once = place.directory / "once"
    place.configure(one={})
    touch = f"__import__('pathlib').Path({str(once)!r}).touch()"
    close = "__import__('os').closerange(3, 4096)"
    place.write_module("first", body=f"__import__('pathlib').Path({str(once)!r}).exists() or ({touch}, {close})")
    master = place.start()
    wait_for(master, lambda found: found["pools"][0]["restarts"] == 1 and found["is_healthy"], "its successor")
