"""Drills of the host: its disk, the configuration, a master that was away. Each concerns all, so they come in turn."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from integration.scenarios.drills.world import Drill, Finding, World
from servers.packages import UnavailableError
from servers.waiting import wait_until

DISK_MIB = 24
EVERY_S, AWAY_S = 3, 10.0


@contextlib.contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """A filesystem of its own, which a drill may fill. UnavailableError where this user may mount none."""
    at.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", str(at)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise UnavailableError(f"no filesystem can be mounted ({done.stderr.strip()}): be root, and may do so")
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True, timeout=30)


def _steady(world: World) -> None:
    world.add("config", "Steady")


def _write_nonsense(world: World) -> None:
    world.reconfigure("config", workers="many")
    os.kill(world.master.process.pid, signal.SIGHUP)


def _write_sense(world: World, finding: Finding) -> str:
    world.reconfigure("config", workers=1)
    return world.step(finding, "consumerd reload")


def _filler(world: World) -> Path:
    return world.state_dir / "filler"


def _parking(world: World) -> None:
    world.add("disk", "Parking")


def _fill(world: World) -> None:
    with contextlib.suppress(OSError), _filler(world).open("wb") as filler:
        while True:
            filler.write(bytes(2**16))
            filler.flush()


def _free(world: World, finding: Finding) -> str:
    command = world.step(finding, "df")
    _filler(world).unlink()
    return f"{command}, and room is made"


def _timely(world: World) -> None:
    world.add("timely", "Timely", every=EVERY_S, missed="skip")


def _miss(world: World) -> None:
    """The master is away while several runs are due."""
    world.stop()
    away_since = time.monotonic()
    wait_until(lambda: time.monotonic() > away_since + AWAY_S, AWAY_S + 30.0, "that they have passed")
    world.start()


def _make_up(world: World, finding: Finding) -> str:
    return world.step(finding, "consumerd run-now")


DRILLS = (
    Drill(
        "wrong configuration", "config", "configuration_refused", _steady, _write_nonsense, _write_sense, is_of_all=True
    ),
    Drill("schedule missed", "timely", "schedule_late", _timely, _miss, _make_up),
    Drill("full disk", "disk", "disk_full", _parking, _fill, _free, is_of_all=True),
)
