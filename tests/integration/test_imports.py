"""What a consumer's import does to its process, and what the system refuses: seen from without."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import (
    SOON_S,
    assert_nothing_left,
    entry,
    is_alive,
    open_fds,
    parent_of,
    stop,
    wait_for,
    wait_replaced,
    wait_running,
    write_config,
)
from servers.waiting import wait_until

MODULE = "imported_module"
NEVER_S = 600  # a stop that takes so long fails its test
REAPING_THREAD = """
import threading
def reap():
    while True:
        try: os.waitpid(-1, 0)
        except ChildProcessError: time.sleep(0.001)
threading.Thread(target=reap, daemon=True).start()
"""
CLASS = """
import os, sys, time
from pathlib import Path
from integration.scenarios.small_pools import Counting as Base
{top}

class Counting(Base):
    def pre_consume(self):
        with (HERE / "told").open("a") as told:
            told.write({told} + "\\n")
"""


class Place:
    """A directory with a configuration, its module, and at most one master."""

    def __init__(self, directory: Path, begin: Callable[[str], Running]) -> None:
        self.directory = directory
        self._begin = begin

    def write_module(self, top: str = "", told: str = "''") -> None:
        """top: what the module does at its top level; told: what each worker writes down at its start."""
        text = CLASS.format(top=f"HERE = Path({str(self.directory)!r})\n{top}", told=told)
        (self.directory / f"{MODULE}.py").write_text(text)

    def start(self, workers: int = 1, **configs: Any) -> Running:
        return self._begin(write_config(self.directory, entry("Counting", workers, module=MODULE, **configs)))

    def told(self, count: int) -> list[str]:
        """What the workers have written down, once there are so many lines."""
        lines: list[str] = []

        def look() -> bool:
            lines[:] = (self.directory / "told").read_text().splitlines() if (self.directory / "told").exists() else []
            return len(lines) >= count

        wait_until(look, deadline_s=SOON_S, message=lambda: f"{count} lines, and there are {lines}")
        return lines

    def check(self) -> str:
        command = [sys.executable, "-m", "consumerd", "check", str(self.directory / "config.json")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=SOON_S, check=False)
        return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:

        def begin(config: str) -> Running:
            state_dir, log = tmp_path / "state", tmp_path / "log"
            return masters.enter_context(running(config, state_dir=state_dir, log=log, env=environment()))

        yield Place(tmp_path, begin)


def worker_pid(found: Answer, slot: int = 0) -> int:
    pid: int = found["pools"][0]["workers"][slot]["pid"]
    return pid


# What an import leaves behind


def test_workers_of_a_module_that_opens_a_connection_have_one_each(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        top = f"import socket\nLINK = socket.create_connection(('127.0.0.1', {port}))"
        place.write_module(top, told="str(LINK.getsockname()[1])")
        master = place.start(3)
        wait_running(master, 3)
        assert len(set(place.told(3))) == 3
        remark = f"leaves a connection open (a socket to 127.0.0.1 port {port}): each worker is executed"
        assert remark in master.log.read_text()
        assert remark in place.check()
        assert stop(master) == 0


@pytest.mark.parametrize(
    "top",
    [
        "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        "import signal\nsignal.signal(signal.SIGCHLD, lambda *_: os.waitpid(-1, os.WNOHANG))",
        REAPING_THREAD,
    ],
    ids=["ignored", "a handler that reaps", "a thread that reaps"],
)
def test_a_worker_dies_without_its_zygote_whatever_the_import_does_about_children(place: Place, top: str) -> None:
    place.write_module(top)
    master = place.start()
    worker = worker_pid(wait_running(master, 1))
    zygote = parent_of(worker)
    os.kill(worker, signal.SIGKILL)
    after = wait_replaced(master, "counting", 0, worker)
    assert parent_of(after["pid"]) == zygote
    assert stop(master) == 0


def test_timers_and_handlers_that_an_import_sets_do_not_reach_its_zygote(place: Place) -> None:
    place.write_module(
        "import signal\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)\n"
        "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, lambda *_: os._exit(5))\n"
        "class Numpy:\n"
        "    def seed(self): (HERE / f'seeded.{os.getpid()}').touch()\n"
        "sys.modules['numpy.random'] = Numpy()"
    )
    master = place.start(2)
    found = wait_running(master, 2)
    zygote = parent_of(worker_pid(found))
    os.kill(zygote, signal.SIGTERM)
    os.kill(zygote, signal.SIGINT)
    os.kill(worker_pid(found), signal.SIGKILL)
    assert parent_of(wait_replaced(master, "counting", 0, worker_pid(found))["pid"]) == zygote
    seeded = {int(path.suffix[1:]) for path in place.directory.glob("seeded.*")}
    assert set(map(worker_pid, [found, found], (0, 1))) <= seeded
    assert stop(master) == 0


def test_a_program_that_an_import_starts_ends_with_its_zygote_and_a_thread_holds_up_no_stop(place: Place) -> None:
    place.write_module(
        "import atexit, subprocess, threading\n"
        "child = subprocess.Popen(['sleep', '3600'])\n"
        "with (HERE / 'children').open('a') as children: children.write(f'{child.pid}\\n')\n"
        "atexit.register(lambda: (HERE / f'exited.{os.getpid()}').touch())\n"
        "threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "from multiprocessing import shared_memory\n"
        "memory = shared_memory.SharedMemory(create=True, size=64)\n"
        "if sys.argv[0].endswith('zygote/__main__.py'): (HERE / 'memory').write_text(memory.name)"
    )
    master = place.start(stop_timeout=NEVER_S)
    first = wait_running(master, 1)["pools"][0]["zygote"]["pid"]
    master.answer("restart", "small/counting", "--wait")
    second = wait_running(master, 1)["pools"][0]["zygote"]["pid"]
    wait_until(lambda: not is_alive(first), deadline_s=SOON_S, message="the end of the first zygote")
    started = [int(line) for line in (place.directory / "children").read_text().splitlines()]
    wait_until(lambda: sum(map(is_alive, started)) == 2, deadline_s=SOON_S, message="the end of the old programs")
    assert "has started a process (sleep" in master.log.read_text()
    assert stop(master) == 0
    assert not any(map(is_alive, started))
    memory = Path("/dev/shm", (place.directory / "memory").read_text())
    wait_until(lambda: not memory.exists(), deadline_s=SOON_S, message="the end of the shared memory")
    assert {f"exited.{first}", f"exited.{second}"} <= {path.name for path in place.directory.glob("exited.*")}


def test_a_program_that_an_import_starts_ends_also_where_the_master_is_killed(place: Place) -> None:
    place.write_module(
        "import subprocess\n(HERE / 'child').write_text(str(subprocess.Popen(['sleep', '3600']).pid))",
    )
    master = place.start()
    wait_running(master, 1)
    child = int((place.directory / "child").read_text())
    os.kill(master.process.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(child), deadline_s=SOON_S, message="the end of the program")
    assert_nothing_left(master)


def test_executed_workers_begin_where_their_zygote_began_and_run_what_it_has_read(place: Place) -> None:
    (place.directory / "data").mkdir()
    top = "os.chdir('data')\nos.environ['SEEN'] = os.environ.get('SEEN', '') + 'x'\nimport neighbour\n"
    (place.directory / "neighbour.py").write_text("WORD = 'old'\n")
    place.write_module(top, told="f\"{neighbour.WORD} {os.environ['SEEN']} {Path.cwd().name}\"")
    master = place.start(start="exec", directory=".")
    worker = worker_pid(wait_running(master, 1))
    (place.directory / "neighbour.py").write_text("WORD = 'new'\n")
    os.kill(worker, signal.SIGKILL)
    wait_replaced(master, "counting", 0, worker)
    assert place.told(2) == ["old x data", "old x data"]
    master.answer("restart", "small/counting", "--wait")
    assert place.told(3)[2] == "new x data"
    assert stop(master) == 0


def test_an_error_in_a_zygote_ends_the_zygote_alone(place: Place) -> None:
    place.write_module(
        "from consumerd.worker.zygote.forking import Zygote\n"
        "wait_ms = Zygote._wait_ms\n"
        "def raising(self):\n"
        "    if (HERE / 'raise').exists():\n"
        "        (HERE / 'raise').unlink()\n"
        "        raise RuntimeError('nobody expected this')\n"
        "    return min(wait_ms(self) or 100, 100)\n"
        "Zygote._wait_ms = raising"
    )
    master = place.start(2)
    before = wait_running(master, 2)["pools"][0]
    (place.directory / "raise").touch()
    wait_until(
        lambda: "zygote_ended" in master.log.read_text(), deadline_s=SOON_S, message=lambda: "the zygote has not ended"
    )
    ready = wait_for(master, lambda found: found["pools"][0]["zygote"]["state"] == "ready", "another zygote")["pools"][
        0
    ]
    assert ready["zygote"]["pid"] != before["zygote"]["pid"]
    assert [worker["pid"] for worker in ready["workers"]] == [worker["pid"] for worker in before["workers"]]
    assert stop(master) == 0


# What the system refuses


def test_a_refused_fork_waits_visibly_and_ends_a_trial_but_no_zygote(place: Place) -> None:
    place.write_module(
        "fork = os.fork\n"
        "def refused():\n"
        "    if (HERE / 'refuse').exists(): raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
        "    return fork()\n"
        "os.fork = refused"
    )
    master = place.start(2)
    found = wait_running(master, 2)
    zygote = found["pools"][0]["zygote"]["pid"]
    (place.directory / "refuse").touch()
    os.kill(worker_pid(found), signal.SIGKILL)
    found = wait_for(master, lambda found: "worker 0 cannot be started" in str(found["problems"]), "the refusal")
    assert "Resource temporarily unavailable): raise the limit on processes" in found["problems"][0]
    assert not found["is_healthy"]
    done = master.verb("restart", "small/counting", "--wait")
    assert done.returncode == 1
    assert b"its first worker cannot be started: the system refuses it" in done.stderr
    (place.directory / "refuse").unlink()
    found = wait_for(master, lambda found: found["pools"][0]["workers_running"] == 2, "both workers")
    assert found["pools"][0]["zygote"]["pid"] == zygote
    assert "zygote_ended" not in master.log.read_text()
    assert stop(master) == 0


def test_a_master_without_descriptors_says_so_and_accuses_no_zygote(place: Place) -> None:
    place.write_module()
    master = place.start()
    zygote = wait_running(master, 1)["pools"][0]["zygote"]["pid"]
    soft, hard = resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE, (open_fds(master.process.pid) + 48, hard))
    master.answer("scale", "small/counting", "30")
    found = wait_for(master, lambda found: "cannot be started" in str(found["problems"]), "the refusal")
    assert "Too many open files): raise the limit on open files" in str(found["problems"])
    resource.prlimit(master.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    found = wait_running(master, 30)
    assert found["pools"][0]["zygote"]["pid"] == zygote
    assert "zygote_broken" not in master.log.read_text()
    assert stop(master) == 0


def test_a_zygote_without_descriptors_refuses_workers_and_keeps_those_it_has(place: Place) -> None:
    place.write_module("import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (24, 1024))")
    master = place.start(2)
    found = wait_running(master, 2)
    zygote = found["pools"][0]["zygote"]["pid"]
    master.answer("scale", "small/counting", "30")
    found = wait_for(master, lambda found: "cannot be started" in str(found["problems"]), "the refusal")
    assert "Too many open files" in str(found["problems"])
    resource.prlimit(zygote, resource.RLIMIT_NOFILE, (1024, 1024))
    found = wait_running(master, 30)
    assert found["pools"][0]["zygote"]["pid"] == zygote
    assert stop(master) == 0


def test_a_thread_that_the_system_refuses_a_worker_is_waited_for_and_costs_the_pool_nothing(place: Place) -> None:
    place.write_module(
        "import threading\n"
        "start_new_thread = threading._start_new_thread\n"
        "def refused(*arguments):\n"
        "    if (HERE / 'refuse').exists(): raise RuntimeError(\"can't start new thread\")\n"
        "    return start_new_thread(*arguments)\n"
        "threading._start_new_thread = refused"
    )
    master = place.start()
    worker = worker_pid(wait_running(master, 1))
    (place.directory / "refuse").touch()
    os.kill(worker, signal.SIGKILL)
    found = wait_for(
        master,
        lambda found: (
            found["pools"][0]["workers"][0]["generation"] > 3 and "worker 0 cannot be started" in str(found["problems"])
        ),
        "refusals",
    )
    assert found["pools"][0]["state"] == "up"
    assert "a worker needs a thread" in str(found["problems"])
    assert "raise the limit on processes" in str(found["problems"])
    (place.directory / "refuse").unlink()
    wait_replaced(master, "counting", 0, worker)
    assert stop(master) == 0
