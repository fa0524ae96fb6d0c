"""Events of three apps, whose endpoints are fine, fail at first, or fail always: sent or parked in the end, none lost.

The oracle is the ledger of the endpoints, and the rows in MariaDB.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.scenarios.endpoints import BROKEN, FINE, FLAKY, Call, read_calls
from integration.scenarios.gop_database import add_app, create_tables, read_event_states
from integration.scenarios.running import Running, environment, running
from servers.waiting import wait_until

ENDPOINTS = Path(__file__).parent / "scenarios" / "endpoints.py"
EVENTS = 60
FAILURES = 2
PAUSE_S = 0.02
END_S = 120.0
APPS = {FINE: 100067, FLAKY: 100068, BROKEN: 100069}
WORKERS_AN_APP = 2

ENTRY = """
[[events]]
name = "{name}"
class = "gop_consumer.consumers.app_event_consumer:AppEventDBConsumer"

[events.configs]
workers = {workers}
app_id = {app_id}
back_off_time = 0.5
max_back_off_time = 1
expire_time = {expire_time}
"""


@dataclass(frozen=True)
class World:
    """What the scenario looks at: the endpoints' ledger, the database, the ids of the events of each endpoint."""

    ledger: Path
    database: str
    events: dict[str, frozenset[int]]

    def calls(self, path: str) -> list[Call]:
        return [call for call in read_calls(self.ledger) if call.path == path]

    def states(self, path: str) -> Counter[str]:
        return Counter(read_event_states(self.database, APPS[path]).values())


@contextlib.contextmanager
def endpoints(ledger: Path) -> Iterator[str]:
    """The three endpoints in a process of their own; their address."""
    options = ["--ledger", str(ledger), "--failures", str(FAILURES), "--pause", str(PAUSE_S)]
    with subprocess.Popen([sys.executable, str(ENDPOINTS), *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def write_configuration(path: Path) -> str:
    """One group, an entry for each app; only the broken one gives up soon."""
    expiry = {FINE: 300, FLAKY: 300, BROKEN: 3}
    entries = (
        ENTRY.format(name=endpoint.strip("/"), app_id=app_id, expire_time=expiry[endpoint], workers=WORKERS_AN_APP)
        for endpoint, app_id in APPS.items()
    )
    path.write_text("".join(entries))
    return str(path)


def kill_a_worker_of(master: Running, consumer: str) -> None:
    master.kill_worker(next(slot for slot in master.slots() if slot.consumer == consumer and slot.is_running))


@pytest.mark.timeout(300)
def test_every_event_is_sent_or_parked_though_endpoints_fail_and_a_worker_is_killed(
    mariadb_url: str, state_dir: Path, tmp_path: Path
) -> None:
    create_tables(mariadb_url)
    ledger = tmp_path / "calls.jsonl"
    config = write_configuration(tmp_path / "events.toml")
    env = environment(GOP_DATABASE=mariadb_url)
    with (
        endpoints(ledger) as address,
        running(config, state_dir=state_dir, log=tmp_path / "log", env=env) as master,
    ):
        events = {
            path: add_app(mariadb_url, app_id, endpoint=address + path, events=EVENTS) for path, app_id in APPS.items()
        }
        world = World(ledger, mariadb_url, events)
        master.wait_until_ready(WORKERS_AN_APP * len(APPS))
        wait_until(lambda: len(world.calls(FLAKY)) >= EVENTS // 2, deadline_s=END_S, message="half of the flaky events")
        kill_a_worker_of(master, "events/flaky")

        wait_until(
            lambda: world.states(FINE)["sent"] == world.states(FLAKY)["sent"] == EVENTS,
            deadline_s=END_S,
            message=lambda: f"all sent, now {world.states(FINE)} and {world.states(FLAKY)}{master.tail()}",
        )
        wait_until(
            lambda: Counter(task["state"] for task in master.parked()) == {"dead": EVENTS},
            deadline_s=END_S,
            message=lambda: f"the broken ones dead, now {master.parked()[:3]}{master.tail()}",
        )
        parked = master.parked()
        assert {task["consumer"] for task in parked} == {"events/broken"}
        assert all("500" in task["error"] for task in parked)
        assert master.stop() == 0, master.tail()
        assert master.descendants() == set()
    assert_calls_are_explained(world)


def assert_calls_are_explained(world: World) -> None:
    """Each event reached its endpoint; one kill explains one call more, of a flaky event, and nothing else does."""
    assert {call.event for call in world.calls(BROKEN)} == world.events[BROKEN]
    assert world.states(BROKEN) == {"failed": EVENTS}

    fine = Counter(call.event for call in world.calls(FINE))
    assert fine == dict.fromkeys(world.events[FINE], 1)

    taken = Counter(call.event for call in world.calls(FLAKY) if call.status == 200)
    assert set(taken) == world.events[FLAKY]
    assert taken.total() - EVENTS <= 1
    refused = Counter(call.event for call in world.calls(FLAKY) if call.status != 200)
    assert refused == dict.fromkeys(world.events[FLAKY], FAILURES)
