"""One request on the control socket: read, checked, answered, kept in the audit log. Runs in the master."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from consumerd import events
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.facts import Fact
from consumerd.master.control.audit import AuditLog, Peer
from consumerd.wire.control import FAILED, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR
from consumerd.wire.method import Method, result_text

LONGEST_VIA = 200
"""So much is kept of in whose name a client asks."""

READ_IN_S = 10.0
"""How long a client may leave an answer unread."""

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class RequestError(ConsumerdError):
    """A request that is not answered. code: of JSON-RPC."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Request(msgspec.Struct):
    """A line of a client's, before anybody has looked for its method. via: in whose name it asks, as it says itself."""

    id: int | str
    method: Any = None
    params: Any = {}
    via: str = ""


class Responder:
    """Answers requests; every failure is one sentence to whoever asks. master: what the methods act with."""

    def __init__(
        self, methods: Mapping[str, type[Method]], master: object, audit: AuditLog, emit: Callable[[Fact], None]
    ) -> None:
        self._methods = methods
        self._master = master
        self._audit = audit
        self._emit = emit

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> Method | None:
        """Answer one request; what it asks, where that can be asked. TimeoutError or ConnectionError where the client
        does not read the answer, or leaves.
        """
        identifier = None
        try:
            request = _parsed(line)
            identifier = request.id
            method = self._method(request)
        except RequestError as error:
            await _fail(writer, identifier, error.code, str(error))
            return None
        answer = self._respond(writer, request, method)
        await (_until_gone(reader, answer) if method.is_stream else answer)
        return method

    def _method(self, request: Request) -> Method:
        kind = self._methods.get(request.method) if isinstance(request.method, str) else None
        if kind is None:
            sentence = f"there is no method {request.method!r}: the master is of another version"
            raise RequestError(METHOD_NOT_FOUND, sentence)
        try:
            return msgspec.convert(request.params, kind)
        except msgspec.ValidationError as error:
            raise RequestError(INVALID_PARAMS, f"{kind.name}: {error}") from error

    async def _respond(self, writer: asyncio.StreamWriter, request: Request, method: Method) -> None:
        failed, peer = None, peer_of(writer)
        via = request.via[:LONGEST_VIA]
        by = f"{peer.user} ({via})" if via else peer.user
        try:
            if method.is_stream:
                await _stream(writer, request.id, method.items(self._master, by))
            else:
                await _end(writer, request.id, result_text(await method.answer(self._master, by)))
        except ConsumerdError as error:
            failed = str(error)
            await _fail(writer, request.id, INVALID_PARAMS if isinstance(error, UsageError) else FAILED, failed)
        except (TimeoutError, ConnectionError):
            raise  # it is done; the client has not read that
        except Exception as error:  # noqa: BLE001 - the top of an answer: whoever asks is told, and asks again
            failed = f"{type(error).__name__}: {error}"
            self._emit(events.control_failed(method=method.name, error=failed))
            sentence = f"the master could not answer {method.name}, which is an error of consumerd's: {failed}"
            await _fail(writer, request.id, FAILED, sentence)
        finally:
            if method.is_act and not getattr(method, "dry_run", False):
                self._audit.note(peer, method.name, _audited(method, request.params), failed, via=via)


def _audited(method: Method, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters without payloads; a digest tells which one it was."""
    return {name: _digest(value) if name in method.payloads and value else value for name, value in params.items()}


def _digest(payload: str) -> str:
    content = payload.encode("utf-8", "surrogatepass")
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


def _parsed(line: bytes) -> Request:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(PARSE_ERROR, "a request must be one JSON object a line") from error
    try:
        return msgspec.convert(plain, Request)
    except msgspec.ValidationError as error:
        raise RequestError(INVALID_REQUEST, "a request must be a JSON object with an id") from error


def peer_of(writer: asyncio.StreamWriter) -> Peer:
    """Who is at the other end of a connection."""
    credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(credentials)
    return Peer(pid, uid)


async def _until_gone(reader: asyncio.StreamReader, answer: Coroutine[object, object, None]) -> None:
    """An answer to its end. ConnectionResetError when the client leaves first, or sends more, which it is not to."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            raise ConnectionResetError("the client has left")
        answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _stream(writer: asyncio.StreamWriter, identifier: object, items: AsyncGenerator[str]) -> None:
    own = json.dumps(identifier)
    async with aclosing(items):
        async for item in items:
            await _write(writer, f'{{"jsonrpc":"2.0","method":"item","params":{{"id":{own},"item":{item}}}}}')
    await _end(writer, identifier, "null")


async def _end(writer: asyncio.StreamWriter, identifier: object, result: str) -> None:
    await _write(writer, f'{{"jsonrpc":"2.0","id":{json.dumps(identifier)},"result":{result}}}')


async def _write(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(text.encode("ascii") + b"\n")
    async with asyncio.timeout(READ_IN_S):
        await writer.drain()


async def _fail(writer: asyncio.StreamWriter, identifier: object, code: int, sentence: str) -> None:
    """The client tells by the code how `consumerd` is to end: used wrongly, or failed."""
    error = {"code": code, "message": sentence}
    await _write(writer, json.dumps({"jsonrpc": "2.0", "id": identifier, "error": error}))
