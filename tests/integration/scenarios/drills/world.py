"""What a drill has to do with: its directory, its entry in the configuration, servers, the master and its doctor."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import wait_for
from servers.waiting import wait_until

CONSUMERS = "integration.scenarios.drills.consumers"
FOUND_S, ENDED_S = 180.0, 90.0

Finding = dict[str, Any]
Entry = dict[str, Any]


@dataclass
class World:
    """One master, and the drills that it is for.

    servers: by name, what the drills need. parking: its store. more: of the table `consumerd` of its configuration.
    at_end: what ends with the world, whatever has failed in it.
    """

    directory: Path
    state_dir: Path
    servers: dict[str, Any] = field(default_factory=dict)
    parking: str = "embedded"
    more: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    at_end: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _master: Running | None = None
    _exits: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def config(self) -> Path:
        return self.directory / "config.json"

    @property
    def master(self) -> Running:
        assert self._master is not None
        return self._master

    def here(self, name: str) -> Path:
        """The directory of a drill."""
        path = self.directory / name
        path.mkdir(exist_ok=True)
        return path

    def add(self, name: str, kind: str, *, module: str = CONSUMERS, **configs: Any) -> None:
        """An entry, as drill/NAME."""
        configs = {"marks_in": str(self.here(name)), "workers": 1, **configs}
        self.entries[name] = {"module": module, "class": kind, "name": name, "configs": configs}

    def write(self) -> None:
        """The configuration."""
        common = {"stop_timeout": 2, "parking": self.parking, "state_dir": str(self.state_dir), **self.more}
        self.config.write_text(json.dumps({"drill": list(self.entries.values()), "consumerd": common}))

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """The master runs, with all that is wanted in it; nothing is wrong yet."""
        with self.at_end, self._exits:
            self.start()
            yield

    def start(self) -> None:
        """Run the master, until all workers are up."""
        self.write()
        env = environment(PYTHONPATH=f"{environment()['PYTHONPATH']}:{self.directory}")
        log = self.directory / "log"
        master = running(str(self.config), state_dir=self.state_dir, log=log, env=env, parking=self.parking)
        self._master = self._exits.enter_context(master)
        self.wait_up()

    def stop(self) -> None:
        """Stop the master; it may be started again."""
        assert self.master.stop() == 0, self.master.tail()
        self._exits.close()

    def wait_up(self) -> None:
        wait_for(self.master, lambda found: found["is_healthy"] and _are_up(found), "all workers")

    def findings(self, consumer: str = "") -> list[Finding]:
        """What the doctor finds of a consumer; without one, all of it."""
        shown = self.master.verb("doctor", "--json")
        assert shown.returncode in (0, 1), shown.stderr
        found: list[Finding] = json.loads(shown.stdout)
        return [each for each in found if not consumer or each["consumer"] == consumer]

    def pool(self, name: str) -> Answer:
        return next(pool for pool in self.master.status()["pools"] if pool["name"] == f"drill/{name}")

    def step(self, finding: Finding, beginning: str) -> str:
        """Do what a finding advises: its step that is so, or the first that begins so."""
        commands = [step["command"] for step in finding["steps"] if step["command"].startswith(beginning)]
        command = beginning if beginning in commands else commands[0]
        words = shlex.split(command)
        if words[0] == "consumerd":
            done = self.master.verb(*words[1:])
            assert done.returncode == 0, (command, done.stderr)
        else:
            subprocess.run(words, check=True, capture_output=True, timeout=30)
        return command

    def reconfigure(self, name: str, **configs: Any) -> None:
        """Other values in the entry of a drill; None takes one out."""
        mine = self.entries[name]["configs"]
        mine.update(configs)
        self.entries[name]["configs"] = {key: value for key, value in mine.items() if value is not None}
        self.write()


@dataclass(frozen=True)
class Drill:
    """Something that is broken, and ended.

    name: as people say it. entry: its consumer, empty where the finding is of all. finding: which the doctor must name
    first. prepare: adds what it needs to the configuration. break_, mend: with the world, the latter with the finding;
    it gives the command that has ended it. needs: servers.
    """

    name: str
    entry: str
    finding: str
    prepare: Callable[[World], None]
    break_: Callable[[World], None]
    mend: Callable[[World, Finding], str]
    needs: tuple[str, ...] = ()
    is_of_all: bool = False

    @property
    def consumer(self) -> str:
        return "" if self.is_of_all else f"drill/{self.entry}"


@dataclass(frozen=True)
class Result:
    drill: Drill
    found_s: float
    ended_by: str
    ended_s: float


def run_together(world: World, drills: Sequence[Drill], *, is_first_of_all: bool = False) -> list[Result]:
    """Break all at once, see each found first among those of its consumer, end each, and see all gone.

    is_first_of_all: of one drill, which is alone, its finding must be the first there is.
    """
    found = _break(world, drills, is_first_of_all=is_first_of_all)
    commands = {drill.name: drill.mend(world, finding) for drill, (_, finding) in zip(drills, found, strict=True)}
    began = time.monotonic()
    ended = {drill.name: _wait_gone(world, drill) - began for drill in drills}
    return [
        Result(drill, found_s, commands[drill.name], ended[drill.name])
        for drill, (found_s, _) in zip(drills, found, strict=True)
    ]


def _break(world: World, drills: Sequence[Drill], *, is_first_of_all: bool) -> list[tuple[float, Finding]]:
    began = time.monotonic()
    for drill in drills:
        drill.break_(world)
    found: dict[str, tuple[float, Finding]] = {}

    def look() -> bool:
        findings = world.findings()
        for drill in drills:
            mine = [each for each in findings if is_first_of_all or each["consumer"] == drill.consumer]
            first = next(iter(mine), None)
            if first is not None and first["name"] == drill.finding:
                found.setdefault(drill.name, (time.monotonic() - began, first))
        return len(found) == len(drills)

    def missing() -> str:
        names = [f"{drill.name}: {drill.finding}" for drill in drills if drill.name not in found]
        return f"{names}, and it is {json.dumps(world.findings(), indent=1)}{world.master.tail()}"

    wait_until(look, FOUND_S, missing)
    return [found[drill.name] for drill in drills]


def _wait_gone(world: World, drill: Drill) -> float:
    def is_gone() -> bool:
        mine = [each for each in world.findings() if each["consumer"] == drill.consumer]
        return not any(each["name"] == drill.finding for each in mine)

    wait_until(is_gone, ENDED_S, lambda: f"{drill.name} gone, and it is {world.findings()}{world.master.tail()}")
    return time.monotonic()


def _are_up(found: Answer) -> bool:
    pools: list[Answer] = found["pools"]
    return all(pool["workers_running"] + pool["workers_finished"] >= pool["workers_wanted"] for pool in pools)


class SlowServer(ThreadingHTTPServer):
    """Answers, after a while that can be changed; or is not there."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.pause_s = 0.02
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def leave(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: SlowServer

    def do_GET(self) -> None:
        time.sleep(self.server.pause_s)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in http.server
        """Nobody reads it."""
