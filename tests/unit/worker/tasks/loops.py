"""What tests of the loop share: consumers that keep what they handled, and a source that is taken away."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer, Dead, Retry
from consumerd.sources.contract import Batch
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import NAME


class Recording(BaseConsumer):
    """Keeps what it handled; a record says how its handling ends."""

    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.handled: list[int] = []

    def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append(offset)
        match record:
            case "fail":
                raise ValueError("it failed")
            case "exit":
                raise SystemExit(1)
            case "dead":
                return Dead("no such user")
            case "retry":
                return Retry(after=5)
            case "value":
                return {"rows": 1}
        return None


class General(Recording):
    """The same by the general loop."""

    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""


BOTH_LOOPS = pytest.mark.parametrize("consumer_class", [Recording, General])


def task_id(number: int) -> str:
    return f"{NAME}:{number}"


class Leaving(MemorySource):
    """Its shard is being taken away, and then it is gone; in what is left of a batch nobody is interested."""

    is_leaving = is_gone = False
    dropped: range | None = None

    def keeps(self, batch: Batch) -> bool:
        return not self.is_leaving

    def settles(self, batch: Batch) -> bool:
        return not self.is_gone

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        assert self.dropped is None
        self.dropped = range(start, stop)
