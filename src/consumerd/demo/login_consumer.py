"""The demo's consumer: all that a team would write. Runs in workers."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel

from consumerd import TableBaseConsumer
from consumerd.demo.grants import Grants


class LoginConsumer(TableBaseConsumer):
    """Keeps the newest use of each (platform, uid, app_id).

    Keys of its own: `grants`, the file of the grants; `pause_s`, how long each task takes more, so that one can watch.
    """

    class Config(BaseModel):
        grants: str
        pause_s: float

    def pre_consume(self) -> None:
        """Open the grants in the worker: a connection must not cross a fork."""
        self._grants = Grants(self.config["grants"])

    def post_consume(self) -> None:
        self._grants.close()

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:  # a record has what its producer put in
        grant = (record["platform"], record["uid"], record["app_id"])
        last_use_time = record["now"] // record.get("ticks_per_s", 1)
        time.sleep(self.config["pause_s"])
        self._grants.update_grant_use_time(grant, last_use_time, login_id=record["id"])
