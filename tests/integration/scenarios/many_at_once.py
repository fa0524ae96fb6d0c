"""Consumers that run many rows at once: some end their worker, hang or block, as the row says."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from consumerd import TableBaseConsumer

Record = dict[str, Any]
LOOK_S = 0.01


class Place:
    """A directory in which tasks write that they have begun, and that they are done; and wait for files."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def write(self, name: str, number: int) -> None:
        with (self.directory / name).open("a") as numbers:
            numbers.write(f"{number}\n")

    def numbers(self, name: str) -> list[int]:
        file = self.directory / name
        return [int(line) for line in file.read_text().splitlines()] if file.exists() else []

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def is_first(self, name: str) -> bool:
        """Whether nobody has come here before."""
        try:
            (self.directory / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class Threads(TableBaseConsumer):
    """In threads. `together`: no row ends before so many have begun, or the file `go` is there."""

    def handle_task(self, offset: int, record: Record) -> None:
        place = Place(self.config["place"])
        place.write("begun", record["number"])
        while not place.has("go"):
            is_together = len(place.numbers("begun")) >= self.config["together"]
            if is_together and record.get("end"):
                break
            time.sleep(LOOK_S)
        self.end(place, record)
        place.write("done", record["number"])

    def end(self, place: Place, record: Record) -> None:
        match record.get("end"):
            case "exit":
                os._exit(3)
            case "segfault":
                ctypes.string_at(0)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep" if place.is_first("slept"):
                time.sleep(3600)
            case "turn" if place.is_first("turned"):
                while True:
                    pass


class EventLoop(TableBaseConsumer):
    """On one event loop. `block`: nothing else runs while it sleeps."""

    async def handle_task(self, offset: int, record: Record) -> None:
        place = Place(self.config["place"])
        place.write("begun", record["number"])
        while not place.has("go") and len(place.numbers("begun")) < self.config["together"]:
            await asyncio.sleep(LOOK_S)
        match record.get("end"):
            case "block":
                time.sleep(3600)
            case "wait" if place.is_first("waited"):
                await asyncio.sleep(3600)
        await asyncio.sleep(5 * LOOK_S)
        place.write("done", record["number"])
