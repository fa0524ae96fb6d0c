"""Metrics and probes over HTTP, by a process that the master keeps."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from integration.scenarios.page_visitors import Visitor
from integration.scenarios.running import READY_S, Running, environment, kill, running
from integration.scenarios.small_masters import entry, wait_running
from servers.ports import free_port
from servers.waiting import wait_until


@contextlib.contextmanager
def serving(directory: Path, state_dir: Path, port: int, *names: str) -> Iterator[Running]:
    """A master that answers HTTP at this port; with these classes besides."""
    config = directory / "config.json"
    settings = {"stop_timeout": 2, "dashboard": {"listen": f"127.0.0.1:{port}"}}
    config.write_text(json.dumps({"small": [entry("Counting"), *map(entry, names)], "consumerd": settings}))
    with running(str(config), state_dir=state_dir, log=directory / "log", env=environment()) as master:
        wait_running(master, 1)
        yield master


def wait_answered(port: int, path: str, status: int, master: Running) -> Any:
    visitor = Visitor(port)

    def answered() -> str | None:
        found = visitor.ask(f"/{path}")
        return found.body if found.status == status else None

    return wait_until(answered, READY_S, lambda: f"{status} at /{path}, not {visitor.ask(f'/{path}')}{master.tail()}")


def server_of(master: Running) -> int:
    """The pid of what answers."""
    for pid in master.descendants():
        with contextlib.suppress(OSError):
            if b"consumerd.dashboard" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def test_metrics_and_probes_are_answered(state_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, state_dir, port) as master:
        shown = wait_answered(port, "metrics", 200, master)
        assert "consumerd_tasks" in {family.name for family in text_string_to_metric_families(shown)}
        assert json.loads(wait_answered(port, "livez", 200, master)) == {"pid": master.process.pid}
        assert json.loads(wait_answered(port, "readyz", 200, master))["problems"] == []
        assert Visitor(port).ask("/nothing").status == 404


def test_a_pool_that_has_failed_is_a_reason_not_to_be_ready(state_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, state_dir, port, "Missing") as master:

        def told() -> bool:
            found = json.loads(wait_answered(port, "readyz", 503, master))
            return found["problems"] == [{"consumer": "small/missing", "kind": "failed"}] and not found["is_healthy"]

        wait_until(told, READY_S, lambda: f"the failed pool is the reason{master.tail()}")


def test_what_answers_is_replaced_and_leaves_with_its_master(state_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, state_dir, port) as master:
        wait_answered(port, "livez", 200, master)
        kill(server_of(master))
        wait_answered(port, "livez", 200, master)
        assert "dashboard_ended" in master.log.read_text()
        kill(master.process.pid)
        wait_until(lambda: Visitor(port).ask("/livez").status == 0, READY_S, "nobody answers")


def test_a_master_that_does_not_answer_is_not_alive(state_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, state_dir, port) as master:
        wait_answered(port, "livez", 200, master)
        os.kill(master.process.pid, signal.SIGSTOP)
        try:
            assert "error" in json.loads(wait_answered(port, "livez", 503, master))
        finally:
            os.kill(master.process.pid, signal.SIGCONT)
        wait_answered(port, "livez", 200, master)


@pytest.mark.timeout(120)
def test_a_port_that_is_taken_is_told_and_taken_once_it_is_free(state_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with contextlib.ExitStack() as taken:
        taken.enter_context(socket.create_server(("127.0.0.1", port)))
        with serving(tmp_path, state_dir, port) as master:
            sentence = f"nobody can listen at 127.0.0.1:{port}"
            wait_until(lambda: sentence in master.log.read_text(), READY_S, lambda: f"it is told{master.tail()}")
            taken.close()
            wait_answered(port, "livez", 200, master)
