"""The master as a service: what it tells a service manager, on a real socket."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd import clock
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, wait_running, write_config
from servers.waiting import wait_until


class Manager:
    """A service manager: it takes what it is told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def wait_told(self, start: str, *, after: int = 0) -> int:
        """Until a datagram begins so; how many had come up to that one."""

        def look() -> int:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.told.append(self._socket.recv(65_536).decode())
            return next((at for at, text in enumerate(self.told[after:], after + 1) if text.startswith(start)), 0)

        return wait_until(look, deadline_s=SOON_S, message=lambda: f"{start} in {self.told[after:]}")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@consumerd-test-{os.getpid()}"
    manager = Manager(address)
    yield manager
    manager.close()


@contextlib.contextmanager
def managed(directory: Path, config: str, manager: Manager, **more: str) -> Iterator[Running]:
    env = environment(NOTIFY_SOCKET=manager.address, **more)
    with running(config, state_dir=directory / "state", log=directory / "log", env=env) as master:
        yield master


def test_a_service_manager_is_told_of_the_start_a_reload_and_the_stop(tmp_path: Path, manager: Manager) -> None:
    config = write_config(tmp_path, entry("Counting", workers=2))
    with managed(tmp_path, config, manager) as master:
        ready = manager.wait_told("READY=1")
        manager.wait_told("STATUS=1 of 1 pools up, 2 of 2 workers running")
        wait_running(master, 2)
        asked_at = clock.monotonic() * 1e6
        os.kill(master.process.pid, signal.SIGHUP)
        reloading = manager.wait_told("RELOADING=1\nMONOTONIC_USEC=", after=ready)
        told_at = int(manager.told[reloading - 1].rpartition("=")[2])
        assert asked_at <= told_at <= clock.monotonic() * 1e6
        reloaded = manager.wait_told("READY=1", after=reloading)
        os.kill(master.process.pid, signal.SIGTERM)
        manager.wait_told("STOPPING=1\nSTATUS=stopping", after=reloaded)
        assert master.process.wait(SOON_S) == 0
    assert not any(text.startswith("WATCHDOG") for text in manager.told)
    assert manager.told.count("READY=1") == 2


def test_a_configuration_with_a_mistake_ends_the_reload_too(tmp_path: Path, manager: Manager) -> None:
    config = write_config(tmp_path, entry("Counting"))
    with managed(tmp_path, config, manager) as master:
        ready = manager.wait_told("READY=1")
        Path(config).write_text("{")
        os.kill(master.process.pid, signal.SIGHUP)
        reloading = manager.wait_told("RELOADING=1", after=ready)
        manager.wait_told("READY=1", after=reloading)


def test_a_pool_that_fails_is_shown_and_does_not_hold_up_the_start(tmp_path: Path, manager: Manager) -> None:
    config = write_config(tmp_path, entry("Counting"), entry("Missing"))
    with managed(tmp_path, config, manager):
        manager.wait_told("READY=1")
        manager.wait_told("STATUS=1 of 2 pools up, 1 of 2 workers running; failed: small/missing")


def test_the_watchdog_hears_of_the_supervisors_turns_and_children_do_not_see_the_socket(
    tmp_path: Path, manager: Manager
) -> None:
    config = write_config(tmp_path, entry("Counting"))
    with managed(tmp_path, config, manager, WATCHDOG_USEC="400000") as master:
        heard = 0
        for _ in range(5):
            heard = manager.wait_told("WATCHDOG=1", after=heard)
        found = wait_running(master, 1)["pools"][0]
        for pid in (found["zygote"]["pid"], found["workers"][0]["pid"]):
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert not [each for each in variables if each.startswith((b"NOTIFY_SOCKET=", b"WATCHDOG_"))]


def test_a_socket_on_which_nobody_listens_hinders_nothing(tmp_path: Path) -> None:
    config = write_config(tmp_path, entry("Counting"))
    env = environment(NOTIFY_SOCKET=str(tmp_path / "nobody"))
    with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=env) as master:
        wait_running(master, 1)
        assert master.stop() == 0
        assert master.log.read_text().count("service_manager_away") == 1
