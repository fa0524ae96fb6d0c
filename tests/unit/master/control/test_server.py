"""The control server where an answer fails, or its socket is taken away."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.facts import Fact
from consumerd.master.control.audit import AuditLog
from consumerd.master.control.server import ControlServer
from consumerd.verbs.parked.methods import ParkedEdit
from consumerd.wire.control import call
from consumerd.wire.method import Method


class Fine(Method, frozen=True):
    name = "status"

    async def answer(self, master: object, by: str) -> int:
        return 7


class Broken(Method, frozen=True):
    name = "reload"

    async def answer(self, master: object, by: str) -> int:
        raise FileNotFoundError(2, "No such file or directory")


class Edit(Method, frozen=True):
    name, is_act, payloads = "edit", True, ParkedEdit.payloads
    reference: str
    record: str | None = None

    async def answer(self, master: object, by: str) -> int:
        if self.reference == "none":
            raise UsageError("there is no such task")
        return 7


def served(directory: Path, facts: list[Fact], act: Callable[[ControlServer], Awaitable[None]]) -> None:
    async def serve() -> None:
        audit = AuditLog(directory / "audit.log", facts.append)
        methods: dict[str, type[Method]] = {"status": Fine, "reload": Broken, "edit": Edit}
        server = ControlServer(directory / "control.sock", methods, None, audit, facts.append)
        await server.start()
        await act(server)
        await server.close()

    asyncio.run(serve())


def test_an_unexpected_error_reaches_the_client_as_one_and_the_log(state_dir: Path) -> None:
    facts: list[Fact] = []

    async def act(server: ControlServer) -> None:
        with pytest.raises(ConsumerdError, match=r"the master could not answer reload.*FileNotFoundError"):
            await asyncio.to_thread(call, server.path, "reload")
        assert await asyncio.to_thread(call, server.path, "status") == 7

    served(state_dir, facts, act)
    assert [fact.name for fact in facts] == ["control_failed"]


def test_a_socket_that_was_removed_or_replaced_is_made_anew(state_dir: Path) -> None:
    async def act(server: ControlServer) -> None:
        assert not await server.listen_again()
        server.path.unlink()
        assert await server.listen_again()
        assert await asyncio.to_thread(call, server.path, "status") == 7
        server.path.unlink()
        server.path.touch()
        assert await server.listen_again()
        assert await asyncio.to_thread(call, server.path, "status") == 7

    served(state_dir, [], act)
    assert not (state_dir / "control.sock").exists()


def test_a_payload_is_not_written_to_the_audit_log_refused_or_not(state_dir: Path) -> None:
    record = '{"card": "4111 1111 1111 1111"}'

    async def act(server: ControlServer) -> None:
        await asyncio.to_thread(call, server.path, "edit", {"reference": "a1b2", "record": record})
        with pytest.raises(UsageError):
            await asyncio.to_thread(call, server.path, "edit", {"reference": "none", "record": record})
        await asyncio.to_thread(call, server.path, "edit", {"reference": "a1b2"})

    served(state_dir, [], act)
    entries = [json.loads(line) for line in (state_dir / "audit.log").read_text().splitlines()]
    digest = f"{len(record)} bytes, sha256 {hashlib.sha256(record.encode()).hexdigest()}"
    assert [entry["params"] for entry in entries] == [
        {"reference": "a1b2", "record": digest},
        {"reference": "none", "record": digest},
        {"reference": "a1b2"},
    ]
