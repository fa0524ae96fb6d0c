"""What a task that is done has begun gets the rest of the stop's time; what the import has begun stays the zygote's."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import entry, stop, wait_for, write_config
from servers.waiting import wait_until

BEGINNING = """
import atexit, multiprocessing, os, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from integration.scenarios.small_pools import Ending

HERE = Path(__file__).parent
KEPT = []

def write(name, after_s=0.0):
    time.sleep(after_s)
    with open(HERE / name, "a") as file:
        file.write(f"{os.getpid()}\\n")

atexit.register(write, "import")
KEPT.append(tempfile.TemporaryDirectory(dir=HERE, prefix="of-import-"))

class Beginning(Ending):
    def pre_consume(self):
        threading.Thread(target=time.sleep, args=(3600,), name="endless").start()

    def handle_task(self, offset, record):
        atexit.register(write, "handler")
        threading.Thread(target=write, args=("thread", 0.5)).start()
        threading.Thread(target=write, args=("daemon", 3600), daemon=True).start()
        executor = ThreadPoolExecutor(1)
        for name in ("first", "second"):
            executor.submit(write, name, 0.3)
        KEPT.append(SharedMemory(create=True, size=64))
        (HERE / "shared").write_text(KEPT[-1].name)
        multiprocessing.get_context("fork").Process(target=write, args=("process", 0.5)).start()
        KEPT.append(tempfile.TemporaryDirectory(dir=HERE, prefix="of-task-"))

class Endless(Ending):
    def handle_task(self, offset, record):
        threading.Thread(target=time.sleep, args=(3600,), name="task-thread").start()
"""
BEGUN = ("first", "handler", "process", "second", "thread")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "beginning.py").write_text(BEGINNING)
    return tmp_path


@contextlib.contextmanager
def started(directory: Path, name: str) -> Iterator[Running]:
    config = write_config(directory, entry(name, module="beginning"))
    with running(config, state_dir=directory / "state", log=directory / "log", env=environment()) as master:
        yield master


def test_what_a_task_has_begun_is_finished_and_the_imports_is_left_to_the_zygote(directory: Path) -> None:
    with started(directory, "Beginning") as master:
        wait_for(master, lambda found: found["pools"][0]["workers_finished"], "the worker's end")
        written = [name for name in (*BEGUN, "daemon", "import") if (directory / name).exists()]
        assert sorted(written) == sorted(BEGUN)
        assert not Path("/dev/shm", (directory / "shared").read_text()).exists()
        assert [found.name[:9] for found in directory.glob("of-*")] == ["of-import"]
        assert stop(master) == 0
        assert len((directory / "import").read_text().splitlines()) == 1
        assert list(directory.glob("of-*")) == []
        log = master.log.read_text()
        assert [word for word in ("Traceback", "threads_cut", "worker_killed") if word in log] == []


def test_a_thread_that_a_task_has_begun_holds_a_stop_up_to_its_deadline_and_is_named(directory: Path) -> None:
    with started(directory, "Endless") as master:
        wait_until(lambda: "threads_cut" in master.log.read_text(), deadline_s=60, message=lambda: master.tail())
        [line] = [line for line in master.log.read_text().splitlines() if "threads_cut" in line]
        assert json.loads(line)["threads"] == "task-thread"
        wait_for(master, lambda found: found["pools"][0]["workers_finished"], "the worker's end")
        assert stop(master) == 0


@pytest.mark.parametrize(("name", "sentence"), [("Beginning", "done"), ("Endless", "cut off after 1 s: task-thread")])
def test_the_verb_task_ends(directory: Path, name: str, sentence: str) -> None:
    config = write_config(directory, entry(name, module="beginning", stop_timeout=1))
    command = [sys.executable, "-m", "consumerd", "task", f"small/{name.lower()}", "--record", "{}", "--config", config]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1][-len(sentence) :]) == (0, sentence), done.stderr
    assert name == "Endless" or sorted(found for found in BEGUN if (directory / found).exists()) == sorted(BEGUN)
