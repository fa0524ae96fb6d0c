"""Masters on the consumers of `small_pools`, and what the tests ask and wait for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumerd.wire.control import call
from integration.scenarios.running import Answer, Running
from servers.waiting import wait_until

POOLS = "integration.scenarios.small_pools"
SOON_S = 60.0
STOP_TIMEOUT_S = 2


def entry(name: str, workers: int = 1, module: str = POOLS, **configs: Any) -> dict[str, Any]:
    return {"module": module, "class": name, "name": name.lower(), "configs": {"workers": workers, **configs}}


def write_config(directory: Path, *entries: dict[str, Any]) -> str:
    """A configuration of one group; its path."""
    config = directory / "config.json"
    config.write_text(json.dumps({"small": list(entries), "consumerd": {"stop_timeout": STOP_TIMEOUT_S}}))
    return str(config)


def status(master: Running) -> Answer:
    return call(master.state_dir / "control.sock", "status")


def pool(master: Running, name: str) -> Answer:
    return next(pool for pool in status(master)["pools"] if pool["name"] == f"small/{name}")


def wait_for(master: Running, condition: Callable[[Answer], object], what: str) -> Answer:
    """The status for which the condition holds."""

    def look() -> Answer:
        assert master.process.poll() is None, f"the master has left{master.tail()}"
        with contextlib.suppress(Exception):  # not up yet
            found = status(master)
            return found if condition(found) else None
        return None

    return wait_until(look, deadline_s=SOON_S, message=lambda: f"{what}{master.tail()}")


def wait_running(master: Running, workers: int) -> Answer:
    return wait_for(
        master, lambda found: sum(pool["workers_running"] for pool in found["pools"]) == workers, f"{workers} workers"
    )


def wait_replaced(master: Running, name: str, slot: int, pid: int) -> Answer:
    def worker(found: Answer) -> Answer:
        return next(pool for pool in found["pools"] if pool["name"] == f"small/{name}")["workers"][slot]

    found = wait_for(
        master,
        lambda found: worker(found)["state"] == "running" and worker(found)["pid"] not in (None, pid),
        f"another process than {pid} in slot {slot}",
    )
    return worker(found)


def children(pid: int) -> set[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return set(map(int, text.split()))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_fds(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def assert_nothing_left(master: Running) -> None:
    wait_until(lambda: not master.descendants(), deadline_s=SOON_S, message=lambda: f"left: {master.descendants()}")


def stop(master: Running) -> int:
    exit_code = master.stop()
    assert_nothing_left(master)
    return exit_code
