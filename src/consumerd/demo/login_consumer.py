"""The demo's consumer: all that a team would write. Runs in workers."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any

from pydantic import BaseModel

from consumerd import TableBaseConsumer

SCHEMA = """
CREATE TABLE login_grant (platform, uid, app_id, last_use_time, PRIMARY KEY (platform, uid, app_id)) WITHOUT ROWID;
CREATE TABLE handled (login_id, worker_pid)  -- without a unique key: a login that is handled twice shows
"""

_GRANT = """
INSERT INTO login_grant VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_use_time = max(last_use_time, excluded.last_use_time)
"""


class LoginConsumer(TableBaseConsumer):
    """Keeps the newest use of each (platform, uid, app_id)."""

    class Config(BaseModel):
        """grants: the file of the grants; pause_s: how long each task takes besides, so that one can watch."""

        grants: str
        pause_s: float

    def pre_consume(self) -> None:
        """Open the grants here, in the worker: a connection must not cross a fork."""
        self._grants = sqlite3.connect(self.config["grants"], timeout=30)
        self._grants.execute("PRAGMA journal_mode = WAL")
        self._grants.execute("PRAGMA synchronous = NORMAL")

    def post_consume(self) -> None:
        self._grants.close()

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:  # a record has what its producer put in
        last_use_time = record["now"] // record.get("ticks_per_s", 1)
        time.sleep(self.config["pause_s"])
        with self._grants:  # both rows or neither
            self._grants.execute(_GRANT, (record["platform"], record["uid"], record["app_id"], last_use_time))
            self._grants.execute("INSERT INTO handled VALUES (?, ?)", (record["id"], os.getpid()))
