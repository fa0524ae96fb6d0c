"""The surroundings in which a consumer's processes are executed, as its handler finds them."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import SOON_S, wait_for, wait_running
from servers.waiting import wait_until

MODULE = '''
import json, os, sys, time
from pathlib import Path
from consumerd import BaseConsumer
import found_by_pythonpath

AT_IMPORT = os.getresuid()

class Telling(BaseConsumer):
    """Tells once what its process looks like, by a file that comes into its place whole."""

    def iterate_task(self):
        yield 0, {"id": f"{os.getpid()}"}
        while not self.can_stop_consume():
            time.sleep(0.01)

    def handle_task(self, offset, record):
        told = {"pid": os.getpid(), "environ": dict(os.environ), "cwd": os.getcwd(), "flags": sys.flags.safe_path,
                "nice": os.getpriority(os.PRIO_PROCESS, 0), "uids": os.getresuid(), "gids": os.getresgid(),
                "groups": sorted(os.getgroups()), "at_import": AT_IMPORT, "fds": len(os.listdir("/proc/self/fd"))}
        Path(self.config["file"] + ".new").write_text(json.dumps(told))
        os.rename(self.config["file"] + ".new", self.config["file"])
        print("the token is", file=sys.stderr, flush=True)
        if os.environ.get("TOKEN"):
            raise ValueError("refused: " + os.environ["TOKEN"])
'''


class Place:
    """A directory with a module, and a library that only PYTHONPATH leads to."""

    def __init__(self, directory: Path, masters: contextlib.ExitStack) -> None:
        self.directory = directory
        self._masters = masters
        (directory / "library").mkdir()
        (directory / "library" / "found_by_pythonpath.py").touch()
        (directory / "work").mkdir()
        (directory / "telling.py").write_text(MODULE)
        self.told_file = directory / "work" / "told.json"

    @property
    def python_path(self) -> str:
        return str(self.directory / "library")

    def configure(self, *, parking: str | None = None, **configs: Any) -> str:
        entry = {
            "module": "telling",
            "class": "Telling",
            "name": "one",
            "configs": {"file": str(self.told_file), "environment": {"PYTHONPATH": self.python_path}, **configs},
        }
        settings = {} if parking is None else {"parking": parking}
        config = self.directory / "config.json"
        config.write_text(json.dumps({"small": [entry], "consumerd": settings}))
        return str(config)

    def start(self) -> Running:
        return self._masters.enter_context(
            running(
                str(self.directory / "config.json"),
                state_dir=self.directory / "state",
                log=self.directory / "log",
                env=environment(SECRET="hunter2hunter2"),
            )
        )

    def told(self, master: Running, pid: int | None = None) -> Answer:
        """What a handler, that of process `pid`, has told."""

        def look() -> Answer:
            with contextlib.suppress(FileNotFoundError):
                found = json.loads(self.told_file.read_text())
                return found if pid in (None, found["pid"]) else None
            return None

        return wait_until(look, deadline_s=SOON_S, message=lambda: f"what the handler tells{master.tail()}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as masters:
        yield Place(tmp_path, masters)


def test_a_consumer_finds_the_surroundings_that_its_entry_names(place: Place) -> None:
    (place.directory / "variables").write_text("FROM_FILE=one two\nPW='p#1'\n")
    variables = {"PYTHONPATH": place.python_path, "TOKEN": "${SECRET}", "URL": "db://${PW}"}
    place.configure(environment=variables, env_file="variables", directory="work", nice=7)
    master = place.start()
    told = place.told(master)
    found = {name: told["environ"].get(name) for name in ("PYTHONPATH", "FROM_FILE", "PW", "TOKEN", "URL")}
    assert found == {**variables, "FROM_FILE": "one two", "PW": "p#1", "TOKEN": "hunter2hunter2", "URL": "db://p#1"}
    assert (told["cwd"], told["nice"]) == (str(place.directory / "work"), 7)
    wait_until(lambda: "refused: ***" in master.log.read_text(), deadline_s=SOON_S, message="the failed task")
    assert "hunter2hunter2" not in master.log.read_text() + json.dumps(master.status())


def test_nothing_is_left_open_by_what_executes_a_zygote(place: Place) -> None:
    place.configure(nice=1)
    entered = place.told(place.start())["fds"]
    (place.directory / "found_by_pythonpath.py").touch()
    place.told_file.unlink()
    config = json.loads((place.directory / "config.json").read_text())
    del config["small"][0]["configs"]["environment"], config["small"][0]["configs"]["nice"]
    (place.directory / "config.json").write_text(json.dumps(config))
    with contextlib.ExitStack() as masters:
        other = running(
            str(place.directory / "config.json"),
            state_dir=place.directory / "other",
            log=place.directory / "other_log",
            env=environment(),
        )
        assert place.told(masters.enter_context(other))["fds"] == entered


def test_another_setting_is_a_new_edition_and_one_that_fails_in_the_process_is_taken_back(place: Place) -> None:
    (place.directory / "variables").write_text("COLOR=red\n")
    place.configure(env_file="variables")
    master = place.start()
    assert place.told(master)["environ"]["COLOR"] == "red"
    (place.directory / "variables").write_text("COLOR=blue\n")
    master.answer("restart", "small")
    wait_until(lambda: place.told(master)["environ"]["COLOR"] == "blue", deadline_s=SOON_S, message="the new file")
    wait_for(master, lambda found: found["pools"][0]["established"] == 2, "the second edition")
    (place.directory / "variables").unlink()
    master.answer("restart", "small")
    found = wait_for(master, lambda found: found["problems"], "the rejection")
    assert "cannot be read (No such file or directory)" in found["problems"][0]
    assert found["pools"][0]["workers_running"] == 1
    done = master.verb("reload")
    assert done.returncode == 2
    assert "configs.env_file: the file" in done.stderr.decode()


def test_check_imports_a_class_in_the_same_surroundings(place: Place) -> None:
    config = place.configure()
    done = checked(config)
    assert done.returncode == 0, done.stderr
    config = place.configure(environment={"PYTHONPATH": "${MISSING}"})
    done = checked(config)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "small[0].configs.environment.PYTHONPATH: the environment variable MISSING is not set" in line


def checked(config: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consumerd", "check", "--no-probe", config]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def test_one_task_is_run_in_the_same_surroundings(place: Place) -> None:
    config = place.configure(directory="work")
    command = [sys.executable, "-m", "consumerd", "task", "small/one", "--record", "{}", "--config", config]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(place.told_file.read_text())["cwd"] == str(place.directory / "work")


def test_a_disabled_consumer_is_not_started_and_a_reload_turns_it_on_and_off(place: Place) -> None:
    place.configure(enabled=False)
    master = place.start()
    found = wait_for(master, lambda found: found["state"] == "running", "the master")
    assert (found["pools"], found["disabled"], found["is_healthy"]) == ([], ["small/one"], True)
    assert "disabled: small/one" in master.verb("status").stdout.decode()
    refused = master.verb("restart", "small/one")
    assert (refused.returncode, "small/one is disabled" in refused.stderr.decode()) == (2, True)
    place.configure()
    assert master.answer("reload")["changes"] == ["small/one enabled (enabled)"]
    assert wait_running(master, 1)["disabled"] == []
    place.configure(enabled=False)
    assert master.answer("reload")["changes"] == ["small/one disabled (enabled)"]
    wait_for(master, lambda found: found["pools"] == [] and found["disabled"] == ["small/one"], "nothing")
    assert master.stop() == 0


# Another user


@pytest.fixture
def nobody() -> pwd.struct_passwd:
    """An account that can run this Python; else the tests of `user` cannot run, and say so."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a consumer as another user")
    account = pwd.getpwnam("nobody")
    command = [sys.executable, "-P", "-c", "import consumerd, pydantic"]
    done = subprocess.run(command, user="nobody", capture_output=True, check=False) if _can_reach() else None
    if done is None or done.returncode != 0:
        pytest.skip(f"the user nobody cannot run {sys.executable}, which is another's alone")
    return account


def _can_reach() -> bool:
    """Whether others may pass all directories above the interpreter."""
    real = Path(sys.executable).resolve()
    return all(parent.stat().st_mode & 0o001 for path in (Path(sys.executable), real) for parent in path.parents)


def test_a_consumer_runs_as_its_user_from_the_import_on(
    place: Place, nobody: pwd.struct_passwd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (place.directory / "secret").write_text("of root alone\n")
    (place.directory / "secret").chmod(0o600)
    shutil.chown(place.directory / "work", "nobody")
    open_up(place.directory)
    variables = {"PYTHONPATH": place.python_path, "SECRET_OF_ROOT": "file:secret"}
    place.configure(user="nobody", environment=variables, parking=f"sqlite:///{place.directory}/work/parked.sqlite")
    with running_parked_elsewhere(place) as master:
        told = place.told(master)
        assert told["uids"] == told["at_import"] == [nobody.pw_uid] * 3
        assert told["gids"] == [nobody.pw_gid] * 3
        assert told["groups"] == sorted(os.getgrouplist("nobody", nobody.pw_gid))
        assert (told["environ"]["HOME"], told["environ"]["USER"]) == (nobody.pw_dir, "nobody")
        assert told["environ"]["SECRET_OF_ROOT"] == "of root alone"
        worker = wait_running(master, 1)["pools"][0]["workers"][0]
        os.kill(worker["pid"], 9)
        assert place.told(master, wait_running_other(master, worker["pid"]))["uids"] == [nobody.pw_uid] * 3
        assert master.stop() == 0


def wait_running_other(master: Running, pid: int) -> int:
    found = wait_for(
        master,
        lambda found: (
            found["pools"][0]["workers"][0]["state"] == "running" and found["pools"][0]["workers"][0]["pid"] != pid
        ),
        "another process",
    )
    return int(found["pools"][0]["workers"][0]["pid"])


def open_up(directory: Path) -> None:
    """Let everybody pass to a directory of a test, up to the system's own."""
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o755)


@contextlib.contextmanager
def running_parked_elsewhere(place: Place) -> Iterator[Running]:
    """A master whose parking store is the configuration's, and not the embedded one."""
    log, state = place.directory / "log", place.directory / "state"
    command = [
        sys.executable,
        "-m",
        "consumerd",
        "run",
        str(place.directory / "config.json"),
        "--state-dir",
        str(state),
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment(), stdout=output, stderr=output, start_new_session=True)
    master = Running(process, state_dir=state, log=log, env=environment())
    try:
        yield master
    finally:
        master.kill_all()


def test_another_user_and_the_embedded_store_are_refused_by_check_and_by_run(place: Place) -> None:
    other = next(each for each in pwd.getpwall() if each.pw_uid not in (0, os.geteuid()))
    config = place.configure(user=other.pw_name)
    why = "cannot reach the embedded parking store" if os.geteuid() == 0 else "only root can run"
    assert why in checked(config).stderr
    command = [sys.executable, "-m", "consumerd", "run", config, "--state-dir", str(place.directory / "state")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert why in line
