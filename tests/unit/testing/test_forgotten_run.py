"""A run that a test lets go without stopping it."""

from __future__ import annotations

import gc
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer
from consumerd.testing.running import Run


class Waiting(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    async def handle_task(self, offset: int, record: Any) -> None:
        """It has an event loop."""


@pytest.mark.parametrize("concurrency", [1, 5])
def test_its_event_loop_is_closed(concurrency: int) -> None:
    run = Run(Waiting, ["ok"] * 20, configs={"concurrency": concurrency})
    run.until_idle()
    loop = run.runtime._assembled.handlers.event_loop()
    del run
    gc.collect()
    assert loop.is_closed()
