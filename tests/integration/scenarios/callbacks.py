"""A consumer that calls game servers, each task the one that it names."""

from __future__ import annotations

import asyncio
from typing import Any

from consumerd import TableBaseConsumer


class Callbacks(TableBaseConsumer):
    """configs: the `port` at which all servers of the test listen."""

    def task_destination(self, record: Any) -> object:
        return record["server"]

    async def handle_task(self, offset: int, record: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.config["port"])
        try:
            writer.write(f"{record['server']} {record['number']}\n".encode())
            answer = await reader.readline()
        finally:
            writer.close()
        if answer != b"done\n":
            raise ConnectionError(f"{record['server']} has not answered")


class Unlisted(Callbacks):
    """What it raises says nothing of a connection, so that its tasks may die of it."""

    async def handle_task(self, offset: int, record: Any) -> None:
        try:
            await super().handle_task(offset, record)
        except ConnectionError:
            raise RuntimeError("no answer") from None
