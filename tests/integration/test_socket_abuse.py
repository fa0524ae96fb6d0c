"""Everything wrong on the control socket of a master whose workers run: it answers, and nothing happens to them."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumerd.cli.verbs import methods
from consumerd.wire.control import call
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, open_fds, wait_running, write_config
from servers.waiting import wait_until

CONNECTIONS = 10_000
AT_ONCE = 1000
FDS_MORE = 2
WRONG: list[Any] = [
    *(None, 0, -1, 10**30, 1.5, True),
    *("", "many", "small/none", "\x00", "a" * 5000),
    *([], ["small"], {}, {"a": 1}),
]
GARBAGE = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe",
    b"GET / HTTP/1.1",
    b"[" * 30_000,
    b'{"jsonrpc": "2.0", "id": 1, "method": "status"',
    b'{"jsonrpc": "2.0", "id": {}, "method": []}',
    b'{"jsonrpc": "2.0", "id": 1, "method": "status", "params": [1]}',
    b'[{"jsonrpc": "2.0", "id": 1, "method": "status"}]',
    b'{"jsonrpc": "2.0", "method": "stop"}',
]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("abuse")
    config = write_config(directory, entry("Counting", 2))
    with running(config, state_dir=directory / "state", log=directory / "log", env=environment()) as started:
        wait_running(started, 2)
        yield started


@pytest.fixture(autouse=True)
def _nothing_happens(master: Running) -> Iterator[None]:
    """The same workers, which go on, and no descriptor more."""
    before, fds = workers(master), open_fds(master.process.pid)
    yield
    after = workers(master)
    assert [worker["pid"] for worker in after] == [worker["pid"] for worker in before]
    wait_until(lambda: handled(master) > sum(each["handled"] for each in after), SOON_S, master.tail)
    wait_until(lambda: open_fds(master.process.pid) <= fds + FDS_MORE, SOON_S, "the descriptors as they were")
    assert "Traceback" not in master.log.read_text()


def socket_path(master: Running) -> str:
    return str(master.state_dir / "control.sock")


def workers(master: Running) -> list[dict[str, Any]]:
    status: Any = call(socket_path(master), "status")
    found: list[dict[str, Any]] = status["pools"][0]["workers"]
    return found


def handled(master: Running) -> int:
    return sum(worker["handled"] for worker in workers(master))


def connected(master: Running) -> socket.socket:
    """Connecting waits where the queue is full."""
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(socket_path(master))
    except OSError:
        client.close()
        raise
    client.settimeout(SOON_S)
    return client


def answer(master: Running, line: bytes) -> dict[str, Any] | None:
    """What one line is answered, on a connection of its own; None where that was closed."""
    with connected(master) as client:
        client.sendall(line + b"\n")
        found = client.makefile("rb").readline()
    decoded: dict[str, Any] | None = json.loads(found) if found else None
    return decoded


def request(method: str, params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


METHODS = methods()
TYPES: dict[str, set[type]] = {
    "string": {str},
    "integer": {int},
    "number": {int, float},
    "boolean": {bool},
    "null": {type(None)},
    "array": {list},
}
HARMLESS = [name for name in METHODS if name.startswith("parked.")] + ["events", "limits", "status", "wake"]
"""What answers any target and number, since they narrow down: only values of another type are refused."""


def parameters(method: str) -> tuple[dict[str, set[type]], list[str]]:
    """The types of a method's parameters by name, as its schema has them, and which of them have to be given."""
    schema = msgspec.json.schema(METHODS[method])["$defs"][METHODS[method].__name__]
    properties = {name: found.get("anyOf", [found]) for name, found in schema["properties"].items()}
    return {name: set().union(*(TYPES[each["type"]] for each in kinds)) for name, kinds in properties.items()}, schema[
        "required"
    ]


@pytest.mark.parametrize("method", METHODS)
def test_wrong_values_of_every_parameter_are_refused(master: Running, method: str) -> None:
    types, required = parameters(method)
    for name, kinds in types.items():
        for value in WRONG:
            if type(value) in kinds and (method in HARMLESS or value is True or value is None):
                continue  # a right one
            others = {other: "small/none" for other in required if other != name}
            found = answer(master, request(method, {**others, name: value}))
            assert found is not None, (name, value)
            assert found["error"]["message"], (name, value)
            assert "\n" not in found["error"]["message"]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "stop"])
def test_unknown_parameters_and_other_shapes_are_refused(master: Running, method: str) -> None:
    for params in ({"no_such_parameter": 1}, [], "text", 7, None):
        found = answer(master, request(method, params))
        assert found is not None
        assert "error" in found, params


@pytest.mark.parametrize("line", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_answered_or_cut_off(master: Running, line: bytes) -> None:
    found = answer(master, line)
    assert found is None or "error" in found


def test_half_requests_and_clients_that_leave_in_the_middle_cost_nothing(master: Running) -> None:
    line = request("status", {}) + b"\n"
    for length in range(1, len(line)):
        with connected(master) as client:
            client.sendall(line[:length])
    with connected(master) as client:
        client.sendall(line * 500)  # and nobody reads the answers


def test_ten_thousand_connections_do_not_keep_anybody_out(master: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * AT_ONCE + soft), hard))
    try:
        for _ in range(CONNECTIONS // AT_ONCE):
            with contextlib.ExitStack() as crowd:
                for _ in range(AT_ONCE):
                    crowd.enter_context(connected(master))
                assert len(workers(master)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_may_do_nothing_and_is_noted(master: Running) -> None:
    pid = os.fork()
    if pid == 0:
        code = 3
        with contextlib.suppress(Exception):
            os.setuid(65534)
            with contextlib.suppress(PermissionError):
                connected(master)
                code = 4
            code = 0 if code == 3 else code
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, "another user was let in"
    assert Path(socket_path(master)).stat().st_mode & 0o777 == 0o600
