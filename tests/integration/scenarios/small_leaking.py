"""Consumers whose memory grows with each task."""

from __future__ import annotations

from typing import Any

from integration.scenarios.small_pools import Counting

LEAKED_BYTES = 2 * 2**20


class Leaking(Counting):
    """Keeps two megabytes a task, for ever."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        KEPT.append(b"x" * LEAKED_BYTES)


KEPT: list[bytes] = []
