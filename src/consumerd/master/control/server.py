"""The control server: answers the control socket. Runs in the master.

Nobody who connects can hold the master up: connections, lines, answers in flight and waits are all bounded, and a
client that does not read is cut off. Nor can anybody hold the others up: where there is no room for one more, whoever
has asked nothing for longest makes room. Who may: the user who runs the master, and root.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

from consumerd import clock, events
from consumerd.errors import ConsumerdError, StateDirectoryError, UsageError
from consumerd.events.facts import Fact
from consumerd.master.control.audit import AuditLog, Peer
from consumerd.master.control.streams import item_line, until_gone
from consumerd.wire.control import (
    FAILED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LINE_LIMIT_BYTES,
    METHOD_NOT_FOUND,
    METHODS,
    PARSE_ERROR,
)

MOST_CONNECTIONS = 64
MOST_QUEUED = 1024
ACCEPTED_AT_ONCE = 16
"""Where there is no descriptor for one more, asyncio says so this often, and tries again a second later."""

IDLE_S = 60.0
"""How long a client may keep a connection without a request; one that asked for a stop waits for the end."""

READ_IN_S = 10.0
"""How long a client may leave an answer unread."""

PIECE_CHARACTERS = 30_000  # each may be escaped to two in a line
SILENCE_S = 1.0
"""So long a client waits for a piece of an answer that is made in steps, and then has what there is."""
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid

BY = "by"
"""The parameter in which the answer of an act finds the user who asks, whatever the client has written there."""

Answer = Callable[[Mapping[str, object]], AsyncIterator[str]]
"""Answers one method: texts that together are the result, as JSON. Failures are a ConsumerdError."""


class RequestError(ConsumerdError):
    """A request that is not answered. code: of JSON-RPC."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class ControlServer:
    """Listens on the control socket; `answers` has one for each method of `wire.control.METHODS`."""

    def __init__(
        self, path: Path, answers: Mapping[str, Answer], audit: AuditLog, emit: Callable[[Fact], None]
    ) -> None:
        assert answers.keys() == METHODS.keys()
        self.path = path
        self._answers = answers
        self._audit = audit
        self._emit = emit
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._idle: dict[asyncio.Task[None], None] = {}  # those that have asked nothing now, the longest first
        self._server: asyncio.Server | None = None
        self._bound: tuple[int, int] | None = None

    async def start(self) -> None:
        """Listen. The caller holds the lock of the state directory, so that a socket found there is a dead master's."""
        sock = _bound(self.path)
        self._bound = _identity(self.path)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=sock, limit=LINE_LIMIT_BYTES, backlog=ACCEPTED_AT_ONCE
        )
        sock.listen(MOST_QUEUED)

    async def listen_again(self) -> bool:
        """Make the socket anew where it is gone, or is another's; whether that was so. Raises what `start` raises."""
        if self._bound is not None and self._bound == _identity(self.path):
            return False
        if self._server is not None:
            self._server.close()
        await self.start()
        return True

    async def close(self) -> None:
        """Stop listening, cut every connection off: whoever waits for the master's end sees it."""
        assert self._server is not None
        self._server.close()
        if self._bound is not None and self._bound == _identity(self.path):  # else it is another master's by now
            self.path.unlink(missing_ok=True)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusal = self._refusal(writer)
        if refusal is not None:
            self._emit(events.control_refused(reason=refusal))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections[task] = writer
        self._idle[task] = None
        task.add_done_callback(self._forget)

    def _refusal(self, writer: asyncio.StreamWriter) -> str | None:
        """Why a client is not served, or None."""
        peer = _peer(writer)
        if peer.uid not in (os.geteuid(), 0):
            self._audit.note(peer, "connect", {}, f"user {peer.uid} may not")
            return f"user {peer.uid} may not"
        return None if self._has_room() else "too many connections"

    def _has_room(self) -> bool:
        """Whether one more may connect; the one that has been idle for longest is cut off where that helps."""
        if len(self._connections) < MOST_CONNECTIONS:
            return True
        if not self._idle:
            return False
        longest = next(iter(self._idle))
        self._drop(longest)
        longest.cancel()
        return True

    def _drop(self, task: asyncio.Task[None]) -> None:
        self._idle.pop(task, None)
        writer = self._connections.pop(task, None)
        if writer is not None:
            writer.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._drop(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._emit(events.control_failed(error=repr(error)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request after another, until the client leaves, idles, or sends or reads too slowly."""
        own = asyncio.current_task()
        assert own is not None
        idle_s: float | None = IDLE_S
        with suppress(TimeoutError, ConnectionError):
            while True:
                async with asyncio.timeout(idle_s):
                    line = await _line(reader)
                if line is None:
                    return
                self._idle.pop(own, None)
                answer = self._respond(writer, line)
                if await (until_gone(reader, answer) if _is_stream(line) else answer) == "stop":
                    idle_s = None
                else:
                    self._idle[own] = None

    async def _respond(self, writer: asyncio.StreamWriter, line: bytes) -> str | None:
        """Answer one request; the method it named."""
        identifier: object = None
        method = failed = None
        params: Mapping[str, object] = {}
        try:
            request = _parsed(line)
            identifier = request.get("id")
            method, params = _checked(request)
            respond = self._stream if METHODS[method].is_stream else self._answer
            given = {**params, BY: _peer(writer).user} if METHODS[method].is_act else params
            await respond(writer, identifier, self._answers[method](given))
        except ConsumerdError as error:
            failed = str(error)
            await _write(writer, _error(identifier, _code(error), failed))
        except (TimeoutError, ConnectionError):
            raise  # it is done; the client has not read that
        except Exception as error:  # noqa: BLE001 - the top of an answer: whoever asks is told, and asks again
            failed = f"{type(error).__name__}: {error}"
            self._emit(events.control_failed(method=method, error=failed))
            sentence = f"the master could not answer {method}, which is an error of consumerd's: {failed}"
            await _write(writer, _error(identifier, FAILED, sentence))
        finally:
            if method is not None and METHODS[method].is_act:
                self._audit.note(_peer(writer), method, params, failed)
        return method

    async def _stream(self, writer: asyncio.StreamWriter, identifier: object, items: AsyncIterator[str]) -> None:
        """Each item as it comes; `_serve` looks meanwhile whether the client is still there."""
        async with aclosing(items):  # type: ignore[type-var]  # every Answer is an async generator
            async for item in items:
                await _write(writer, item_line(identifier, item))
        await _write(writer, f'{{"jsonrpc":"2.0","id":{json.dumps(identifier)},"result":null}}')

    async def _answer(self, writer: asyncio.StreamWriter, identifier: object, texts: AsyncIterator[str]) -> None:
        held, is_in_pieces, written_at = "", False, clock.monotonic()
        async with aclosing(texts):  # type: ignore[type-var]  # every Answer is an async generator
            async for text in texts:
                held += text
                while len(held) > PIECE_CHARACTERS or (held and clock.monotonic() - written_at > SILENCE_S):
                    piece, held, is_in_pieces = held[:PIECE_CHARACTERS], held[PIECE_CHARACTERS:], True
                    await _write(writer, _piece(identifier, piece))
                    written_at = clock.monotonic()
        if is_in_pieces:
            await _write(writer, _piece(identifier, held))
            held = "null"
        await _write(writer, f'{{"jsonrpc":"2.0","id":{json.dumps(identifier)},"result":{held}}}')


def _peer(writer: asyncio.StreamWriter) -> Peer:
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(credentials)
    return Peer(pid, uid)


def _code(error: ConsumerdError) -> int:
    """The client tells by it how `consumerd` is to end: used wrongly, or failed."""
    match error:
        case RequestError():
            return error.code
        case UsageError():
            return INVALID_PARAMS
        case _:
            return FAILED


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bound(path: Path) -> socket.socket:
    """A listening socket that was never open to others, not for a moment."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise StateDirectoryError(
            f"the control socket {path} cannot be made ({error}): name another directory with --state-dir"
        ) from error
    finally:
        os.umask(before)
    sock.listen(MOST_CONNECTIONS)
    return sock


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    """The next line; None at the client's end, or where a line is too long to be a request."""
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return None


async def _write(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(text.encode("ascii") + b"\n")
    async with asyncio.timeout(READ_IN_S):
        await writer.drain()


def _parsed(line: bytes) -> dict[str, object]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(PARSE_ERROR, "a request must be one JSON object a line") from error
    if not isinstance(request, dict) or not isinstance(request.get("id"), int | str):
        raise RequestError(INVALID_REQUEST, "a request must be a JSON object with an id")
    return request


def _checked(request: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    name, params = request.get("method"), request.get("params", {})
    method = METHODS.get(name) if isinstance(name, str) else None
    if method is None:
        raise RequestError(METHOD_NOT_FOUND, f"there is no method {name!r}: the master is of another version")
    if not isinstance(params, dict):
        raise RequestError(INVALID_PARAMS, f"{method.name}: parameters must be an object")
    complaint = method.complaint(params)
    if complaint is not None:
        raise RequestError(INVALID_PARAMS, complaint)
    return method.name, params


def _is_stream(line: bytes) -> bool:
    """Whether a request, which may be none at all, asks for a stream."""
    try:
        method, _ = _checked(_parsed(line))
    except RequestError:
        return False
    return METHODS[method].is_stream


def _piece(identifier: object, text: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": "piece", "params": {"id": identifier, "text": text}})


def _error(identifier: object, code: int, sentence: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": sentence}})
