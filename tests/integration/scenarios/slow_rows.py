"""A consumer of a claimed table whose handler takes its time."""

from __future__ import annotations

import time
from typing import Any

from consumerd import TableBaseConsumer


class SlowRows(TableBaseConsumer):
    """One row after the other, twenty a second."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        time.sleep(0.05)
