"""The five daemons, whole: `consumerd run` with the entry of gop.toml, beside the script under supervisord. No faults.

Each takes what is there already: paces and CPU times are of all its processes, from a tenth of the tasks on to the
last. The servers and the partners are beside it on the same machine, and in none of the figures.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.brokers import database_server, kafka
from benchmarks.daemons.filling import DAEMONS, Daemon, World
from benchmarks.figures import Figure, spread
from benchmarks.proc import spent_s, tree
from benchmarks.running import ROOT, Command, Running
from benchmarks.supervision.peers import environment, requirements

EXAMPLE = ROOT / "examples" / "gop"
ROUNDS = 3
PARTITIONS = 8
LOOK_S = 0.1
ENDS_WITHIN_S = 300.0
WORKERS = 4
"""In the place of a range: as many as the script has processes."""


@dataclass(frozen=True)
class Told:
    """pace: tasks a second. cpu_us: CPU time of all processes, for each task."""

    pace: float
    cpu_us: float


def figures() -> Iterator[Figure]:
    supervisord = environment("peers", requirements((ROOT / "pyproject.toml").read_text())) / "bin" / "supervisord"
    with ExitStack() as stack:
        broker, database = stack.enter_context(kafka()), stack.enter_context(database_server("MariaDB"))
        partners = stack.enter_context(_partners())
        for daemon in DAEMONS:
            told: dict[str, list[Told]] = {"consumerd": [], "script": []}
            for number in range(ROUNDS):
                for way in ("consumerd", "script") if number % 2 else ("script", "consumerd"):
                    for topic in ("login_task", "account_change"):
                        broker.create_topic(topic, PARTITIONS)
                    with database.fresh_database() as url:
                        world = World(broker.brokers, url, partners)
                        daemon.fill(world, daemon.tasks)
                        command = (
                            _consumerd(daemon, world) if way == "consumerd" else _script(daemon, world, supervisord)
                        )
                        told[way].append(_measured(command, daemon, world))
                        world.engine.dispose()
                    for topic in ("login_task", "account_change"):
                        broker.delete_topic(topic)
            yield _figure(daemon, told["consumerd"], told["script"])


def _figure(daemon: Daemon, ours: list[Told], script: list[Told]) -> Figure:
    ratios = [beside.cpu_us / each.cpu_us for each, beside in zip(ours, script, strict=True)]
    beside = f"script {_shown(script)}; ratio of {ROUNDS} pairs {spread(ratios, '.2f')}"
    return Figure(f"{daemon.name}, tasks a second and a core", _shown(ours), beside, statistics.median(ratios), None)


def _shown(told: list[Told]) -> str:
    pace, cpu_us = (statistics.median(getattr(each, name) for each in told) for name in ("pace", "cpu_us"))
    return f"{1e6 / cpu_us:,.0f} ({pace:,.0f}/s)"


def _measured(command: Command, daemon: Daemon, world: World) -> Told:
    with Running(command) as running:
        begun, spent, done = _reached(running, daemon, world, daemon.tasks // 10)
        ended, spent_at_end, all_done = _reached(running, daemon, world, daemon.tasks)
        tasks = all_done - done
        return Told(tasks / (ended - begun), (spent_at_end - spent) / tasks * 1e6)


def _reached(running: Running, daemon: Daemon, world: World, tasks: int) -> tuple[float, float, int]:
    """When so many were done, the CPU time spent by then, and how many they were."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while (done := world.count(daemon.done)) < tasks:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{daemon.name}: {done} of {tasks}; {(running.directory / 'stderr').read_text()[-2000:]}"
            )
        time.sleep(LOOK_S)
    return time.monotonic(), spent_s(tree(running.process.pid)), done


def _consumerd(daemon: Daemon, world: World) -> Command:
    def command(directory: Path) -> list[str]:
        (directory / "gop.json").write_text(json.dumps(_entry(daemon.entry)))
        run = [sys.executable, "-m", "consumerd", "run", "gop.json", "--parking", "embedded", "--state-dir", "state"]
        return [*_environment(world), *run]

    return command


def _entry(name: str) -> dict[str, Any]:
    """What gop.toml has of it; no limit, which would be what is measured, and no waiting for the night."""
    groups = tomllib.loads((EXAMPLE / "gop.toml").read_text())
    group, entry = next(
        (group, entry) for group, entries in groups.items() if group != "consumerd" for entry in entries
        if entry["name"] == name
    )  # fmt: skip
    configs = {key: value for key, value in entry["configs"].items() if key not in ("limits", "cron", "timezone")}
    if isinstance(configs.get("workers"), dict):
        configs["workers"] = WORKERS
    return {group: [{**entry, "configs": configs | ({"every": 2} if "cron" in entry["configs"] else {})}]}


def _script(daemon: Daemon, world: World, supervisord: Path) -> Command:
    def command(directory: Path) -> list[str]:
        before = EXAMPLE / "before"
        parts = (before / "supervisord.conf").read_text().split("\n\n")
        wanted = [part for part in parts if not part.startswith("[program:") or f":{daemon.program}]" in part]
        text = "\n\n".join(wanted).replace("%(here)s", str(before))
        (directory / "supervisord.conf").write_text(text)
        path = f"PATH={Path(sys.executable).parent}:/usr/bin:/bin"
        return [*_environment(world), path, f"GOP_LOGS={directory}", str(supervisord), "-c", "supervisord.conf"]

    return command


def _environment(world: World) -> list[str]:
    channels = [f"GOP_{channel}={world.partners}" for channel in ("WECHAT", "UNIONPAY")]
    paths = f"PYTHONPATH={EXAMPLE}:{ROOT}"
    return ["env", paths, f"GOP_BROKERS={world.brokers}", f"GOP_DATABASE={world.database}", *channels]


@contextmanager
def _partners() -> Iterator[str]:
    """Their address."""
    command = [sys.executable, "-m", "benchmarks.daemons.partners"]
    environment = {"PYTHONPATH": f"{EXAMPLE}:{ROOT}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
