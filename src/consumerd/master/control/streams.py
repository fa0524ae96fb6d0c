"""Streams on the control socket: items, until there are no more or the client is gone. Runs in the master."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import TypeVar

Answered = TypeVar("Answered")


async def until_gone(reader: asyncio.StreamReader, answer: Coroutine[object, object, Answered]) -> Answered:
    """What an answer comes to. ConnectionResetError when the client leaves first, or sends more, which it is not to."""
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            raise ConnectionResetError("the client has left")
        return answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


def item_line(identifier: object, item: str) -> str:
    """The notification of one item, which is JSON."""
    return f'{{"jsonrpc":"2.0","method":"item","params":{{"id":{json.dumps(identifier)},"item":{item}}}}}'
