"""The control protocol, and its client: JSON-RPC 2.0 over the Unix socket in the state directory.

One JSON object a line; a request's is at most 64 KiB long. A method that is a stream sends notifications
`{"method": "item", "params": {"id": ID, "item": ITEM}}` for as long as there are any, and at last its response, null
or an error; a client that wants no more closes the connection, which carries nothing else meanwhile.
Bytes are `{"$bytes": BASE64}`. Imports neither pydantic, asyncio nor SQLAlchemy.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, Self

import msgspec
from msgspec import UNSET, Struct

from consumerd import clock
from consumerd.errors import ConsumerdError, NotRunningError, UsageError, WireError
from consumerd.wire.json_text import from_json, to_json

LINE_LIMIT_BYTES = 65_536
SEND_S = 5.0
CONNECT_AGAIN_S = 0.02
ANSWER_LIMIT_BYTES = 256 * 1_048_576

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
FAILED = -32000
"""The code of a request that was understood and failed; its message is one sentence."""


class Connection:
    """A client's connection. NotRunningError when no master listens at `socket_path`."""

    def __init__(self, socket_path: str | os.PathLike[str], *, timeout_s: float = 5.0) -> None:
        self._path = os.fspath(socket_path)
        self._last_id = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._answered = self._socket.makefile("rb")
        self._socket.settimeout(timeout_s)
        try:
            self._connect(clock.monotonic() + timeout_s)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            self.close()
            not_running = self._not_running()
            not_running.socket = self._path
            raise not_running from error
        except PermissionError as error:
            self.close()
            raise UsageError(f"{self._path} belongs to another user: use it as the user who runs the master") from error

    def _connect(self, deadline: float) -> None:
        """Wait for a place in the queue of those who connect; a crowd may fill it, or a frozen master leave it full."""
        while True:
            try:
                self._socket.connect(self._path)
            except BlockingIOError:
                if clock.monotonic() >= deadline:
                    self.close()
                    raise ConsumerdError(f"the master accepts nobody on {self._path} now: try again") from None
                clock.SYSTEM_CLOCK.sleep(CONNECT_AGAIN_S)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._answered.close()
        self._socket.close()

    def call(
        self,
        method: str,
        params: Mapping[str, object] | None = None,
        *,
        timeout_s: float = 5.0,
        via: str = "",
    ) -> object:
        """The result of one method. via: in whose name it is asked, where that is somebody else.

        ConsumerdError with the master's sentence where it failed; NotRunningError when the master left meanwhile.
        """
        *_, last = self._answers(method, params or {}, timeout_s, via)
        return last.result

    def follow(
        self, method: str, params: Mapping[str, object] | None = None, *, timeout_s: float = math.inf, via: str = ""
    ) -> Iterator[object]:
        """The items of a stream, as they come and for as long as they do. via: as of `call`. Raises what `call` raises.

        timeout_s: how long each of them may take.
        """
        answers = self._answers(method, params or {}, timeout_s, via)
        return (answer.params.item for answer in answers if not answer.is_last)

    def _answers(self, method: str, params: Mapping[str, object], timeout_s: float, via: str = "") -> Iterator[_Answer]:
        """All that comes for one request."""
        is_over = False
        try:
            self._request(method, params, via)
            while not is_over:
                answer = _parsed(self._line(timeout_s))
                is_over = answer.is_last
                yield answer
        except TimeoutError as error:
            raise ConsumerdError(f"the master did not answer {method} within {timeout_s:g} s: try again") from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._not_running() from error

    def wait_closed(self, timeout_s: float) -> bool:
        """Whether the master closed this connection, as it does at its end, within `timeout_s` seconds."""
        self._socket.settimeout(max(0.001, timeout_s))
        try:
            with suppress(ConnectionResetError):
                while self._socket.recv(LINE_LIMIT_BYTES):
                    pass
        except TimeoutError:
            return False
        return True

    def _request(self, method: str, params: Mapping[str, object], via: str) -> None:
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        request |= {"via": via} if via else {}
        line = to_json(request).encode("ascii") + b"\n"
        if len(line) > LINE_LIMIT_BYTES:
            raise UsageError(f"{method}: its parameters are longer than {LINE_LIMIT_BYTES} bytes: ask for less at once")
        self._socket.settimeout(SEND_S)
        self._socket.sendall(line)

    def _line(self, timeout_s: float) -> bytes:
        """The next line. A long one takes as long as it goes on."""
        self._socket.settimeout(None if timeout_s == math.inf else timeout_s)
        line = self._answered.readline(ANSWER_LIMIT_BYTES)
        if line.endswith(b"\n"):
            return line
        if len(line) < ANSWER_LIMIT_BYTES:
            raise self._not_running()
        raise WireError(f"{self._path} answers with lines that are too long: no master of this version listens")

    def _not_running(self) -> NotRunningError:
        return NotRunningError(
            f"no master answers on {self._path}: start one with consumerd run, or name its --state-dir"
        )


def call(
    socket_path: str | os.PathLike[str],
    method: str,
    params: Mapping[str, object] | None = None,
    *,
    timeout_s: float = 5.0,
    via: str = "",
) -> object:
    """Connect, call one method, close. Raises what `Connection` and `Connection.call` raise."""
    with Connection(socket_path, timeout_s=timeout_s) as connection:
        return connection.call(method, params, timeout_s=timeout_s, via=via)


class _Params(Struct, frozen=True):
    item: Any = UNSET  # of any shape


class _Failure(Struct):
    code: int
    message: str


class _Answer(Struct):
    """Whatever the master sends: the end of an answer, or an item before it."""

    result: Any = UNSET  # of any shape
    error: _Failure | None = None
    method: Literal["item", ""] = ""
    params: _Params = _Params()

    @property
    def is_last(self) -> bool:
        """Whether nothing follows. Raises what the answer is, where it is an error."""
        if self.error is None:
            return self.result is not UNSET
        is_misuse = self.error.code in (METHOD_NOT_FOUND, INVALID_PARAMS, INVALID_REQUEST)
        raise (UsageError if is_misuse else ConsumerdError)(self.error.message)


def _parsed(line: bytes) -> _Answer:
    try:
        answer = msgspec.convert(from_json(line), _Answer)
        if answer.result is UNSET and answer.error is None and not answer.method:
            raise WireError("neither a result, an error nor an item")
        return answer
    except (msgspec.ValidationError, WireError) as error:
        sentence = f"the control socket answers what is none of its messages ({error}): no master of this version"
        raise WireError(sentence) from error
