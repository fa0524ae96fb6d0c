"""The control socket: both ends of its protocol, and clients that do not keep to it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import platform
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest

from consumerd.errors import ConsumerdError, NotRunningError, UsageError, WireError
from consumerd.events.facts import Fact
from consumerd.master.control.audit import AuditLog
from consumerd.master.control.server import MOST_CONNECTIONS, ControlServer
from consumerd.wire.control import Connection, call
from consumerd.wire.method import Method, result_text
from servers.waiting import wait_until

SOON_S = 60.0
NOBODY = 65_534
SET_USER_CALLS = {"x86_64": (117, 122), "aarch64": (147, 151)}  # bare, they change one thread; libc's change all


class Echo(Method, frozen=True):
    """Answers with its own parameters."""

    async def answer(self, master: Serving, by: str) -> dict[str, object]:
        master.asked.append(self.parameters())
        return {"asked": self.parameters()}


class Status(Echo, frozen=True):
    name = "status"


class Stop(Echo, frozen=True):
    name = "stop"


class Wake(Echo, frozen=True):
    name = "wake"
    target: str


class Show(Echo, frozen=True):
    name = "parked.show"
    n: int


class Resume(Echo, frozen=True):
    name, is_act = "resume", True
    target: str


class Large(Method, frozen=True):
    name, is_stream = "parked.list", True
    count: int = 200

    async def items(self, master: Serving, by: str) -> AsyncGenerator[str]:
        for _ in range(self.count):
            yield result_text({"payload": b'\x00\xff"\\' * 1000})


class Whole(Method, frozen=True):
    name = "whole"

    async def answer(self, master: Serving, by: str) -> bytes:
        return bytes(range(256)) * 40_000


class Failing(Method, frozen=True):
    name, is_act, is_stream = "parked.discard", True, True

    async def items(self, master: Serving, by: str) -> AsyncGenerator[str]:
        yield "[]"
        raise ConsumerdError("the store is away: try again")


class Crashing(Method, frozen=True):
    name, is_act = "pause", True
    target: str

    async def answer(self, master: Serving, by: str) -> None:
        raise ZeroDivisionError("a mistake of ours")


METHODS = {kind.name: kind for kind in (Status, Stop, Wake, Show, Resume, Large, Whole, Failing, Crashing)}


class Serving:
    """A control server in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: list[Fact] = []
        self.asked: list[Mapping[str, object]] = []
        self._loop = asyncio.new_event_loop()
        audit = AuditLog(path.with_name("audit.log"), self.facts.append)
        self._server = ControlServer(path, METHODS, self, audit, self.facts.append)
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._server.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close(self) -> None:
        if self.path.exists():
            self._run(self._server.close())

    def _run(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SOON_S)  # type: ignore[arg-type]  # a coroutine


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path / "control.sock") as serving:
        yield serving


@contextlib.contextmanager
def raw(serving: Serving) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SOON_S)
        client.connect(str(serving.path))
        yield client


def said(client: socket.socket, line: bytes) -> dict[str, object]:
    """The answer to one line."""
    client.sendall(line + b"\n")
    answer = json.loads(client.makefile("rb").readline())
    assert isinstance(answer, dict)
    return answer


def test_a_call_is_answered_and_its_parameters_arrive(serving: Serving) -> None:
    assert call(serving.path, "wake", {"target": "g/a"}) == {"asked": {"target": "g/a"}}
    assert call(serving.path, "status") == {"asked": {}}


def test_one_connection_carries_many_calls(serving: Serving) -> None:
    with Connection(serving.path) as connection:
        for number in range(20):
            assert connection.call("parked.show", {"n": number}) == {"asked": {"n": number}}


def test_an_answer_of_any_length_comes_back_bytes_and_all(serving: Serving) -> None:
    assert call(serving.path, "whole") == bytes(range(256)) * 40_000
    with Connection(serving.path) as connection:
        assert list(connection.follow("parked.list")) == [{"payload": b'\x00\xff"\\' * 1000}] * 200
        assert connection.call("status") == {"asked": {}}


def test_a_failure_is_its_sentence_also_in_the_middle_of_a_stream(serving: Serving) -> None:
    with Connection(serving.path) as connection:
        with pytest.raises(ConsumerdError, match="the store is away"):
            list(connection.follow("parked.discard"))
        assert connection.call("status") == {"asked": {}}


def test_an_act_that_crashes_is_a_failure_in_the_audit_log_and_for_whoever_asked(serving: Serving) -> None:
    with pytest.raises(ConsumerdError, match="could not answer pause, which is an error of consumerd's"):
        call(serving.path, "pause", {"target": "g/a"})
    resumed = call(serving.path, "resume", {"target": "g/a"})
    assert isinstance(resumed, dict)
    assert resumed["asked"]["target"] == "g/a"
    audit = serving.path.with_name("audit.log")
    wait_until(lambda: audit.read_text().count("\n") == 2, deadline_s=SOON_S, message="both acts, noted when answered")
    first, second = (json.loads(line) for line in audit.read_text().splitlines())
    assert (first["method"], "ZeroDivisionError" in json.dumps(first)) == ("pause", True)
    assert (second["method"], "ZeroDivisionError" in json.dumps(second)) == ("resume", False)


def test_a_socket_that_is_another_masters_by_now_is_left_there(serving: Serving) -> None:
    serving.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(serving.path))
        serving.close()
        assert serving.path.exists()
        serving.path.unlink()


@pytest.mark.parametrize(
    ("method", "params"),
    [("nonsense", {}), ("status", {"verbose": True}), ("wake", {"target": 3}), ("__class__", {})],
)
def test_what_the_table_of_methods_does_not_have_is_refused(
    serving: Serving, method: str, params: Mapping[str, object]
) -> None:
    with pytest.raises(UsageError):
        call(serving.path, method, params)
    assert serving.asked == []


@pytest.mark.parametrize(
    "line",
    [b"", b"nonsense", b"[]", b"1", b"{}", b'{"id": null, "method": "status"}', b"[" * 60_000, b"\xff\xff"],
    ids=lambda line: repr(line[:20]),
)
def test_a_line_that_is_no_request_is_answered_with_an_error(serving: Serving, line: bytes) -> None:
    with raw(serving) as client:
        assert "error" in said(client, line)
        assert "result" in said(client, b'{"id": 1, "method": "status"}')


def test_a_line_without_end_costs_the_client_its_connection(serving: Serving) -> None:
    with raw(serving) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(b"x" * 200_000)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""
    assert call(serving.path, "status") == {"asked": {}}


def test_a_client_that_does_not_read_does_not_keep_the_others_waiting(serving: Serving) -> None:
    with raw(serving) as client:
        client.sendall(b'{"id": 1, "method": "parked.list", "params": {"count": 100000}}\n')
        assert call(serving.path, "status") == {"asked": {}}


def test_in_a_crowd_of_idle_clients_the_one_that_was_idle_for_longest_makes_room(serving: Serving) -> None:
    with contextlib.ExitStack() as clients:
        crowd = [clients.enter_context(raw(serving)) for _ in range(MOST_CONNECTIONS)]
        for client in (*crowd[1:], crowd[0]):
            said(client, b'{"id": 1, "method": "status"}')
        assert call(serving.path, "status") == {"asked": {}}
        assert crowd[1].recv(10) == b""
        assert "result" in said(crowd[0], b'{"id": 2, "method": "status"}')
    assert not serving.facts


def test_a_crowd_that_is_served_is_not_cut_off_for_one_more_who_is_refused(serving: Serving) -> None:
    with contextlib.ExitStack() as clients:
        for _ in range(MOST_CONNECTIONS):
            said(clients.enter_context(raw(serving)), b'{"id": 1, "method": "stop"}')
        with raw(serving) as one_more:
            assert one_more.recv(10) == b""
        assert serving.facts[-1].name == "control_refused"
    wait_until(lambda: _answers(serving), SOON_S, "an answer after the crowd has left")


def _answers(serving: Serving) -> bool:
    with contextlib.suppress(ConsumerdError):
        return call(serving.path, "status") == {"asked": {}}
    return False


def test_the_socket_is_for_its_user_only_and_goes_with_its_server(serving: Serving) -> None:
    assert serving.path.stat().st_mode & 0o777 == 0o600
    with Connection(serving.path) as connection:
        connection.call("stop")
        assert not connection.wait_closed(0)
        serving.close()
        assert connection.wait_closed(SOON_S)
    with pytest.raises(NotRunningError):
        call(serving.path, "status")


def test_another_user_is_refused(serving: Serving) -> None:
    if os.geteuid() != 0 or platform.machine() not in SET_USER_CALLS:
        pytest.skip(
            "only root, on a processor whose numbers of system calls are known, can be another user: run as root"
        )
    outcome: list[bytes] = []
    stranger = threading.Thread(target=lambda: outcome.append(_ask_as_nobody(serving.path)))
    stranger.start()
    stranger.join()
    assert outcome == [b""]
    assert [fact.name for fact in serving.facts] == ["control_refused"]
    assert serving.asked == []


def _ask_as_nobody(path: Path) -> bytes:
    """What a connection says to another user, who this thread alone is from now on; it may pass all permissions."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SOON_S)
        setresuid, setfsuid = SET_USER_CALLS[platform.machine()]
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.syscall(setresuid, 0, NOBODY, 0) == 0
        libc.syscall(setfsuid, 0)  # files are still root's to reach
        client.connect(str(path))
        return client.recv(10)


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NotRunningError):
        call(path, "status")
    with Serving(path) as serving:
        assert call(serving.path, "status") == {"asked": {}}


def test_a_server_that_is_none_of_ours_is_a_wire_error(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        thread = threading.Thread(target=_greet, args=(other,))
        thread.start()
        with pytest.raises(WireError):
            call(path, "status")
        thread.join()


def _greet(server: socket.socket) -> None:
    with server.accept()[0] as client:
        client.recv(1000)
        client.sendall(b"hello\n")


def test_a_server_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(ConsumerdError, match="did not answer status"):
            call(path, "status", timeout_s=0.05)
