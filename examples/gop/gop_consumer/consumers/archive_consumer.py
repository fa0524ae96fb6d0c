"""Moves finished orders and old events out of the way, at night."""

from __future__ import annotations

import time
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from consumerd import ScheduleBaseConsumer
from gop_consumer import archive_manager
from gop_consumer.archive_manager import TABLES


class ArchiveConsumer(ScheduleBaseConsumer):
    """One task is one run of the schedule. It goes on where it was left: in this table, after so many rows.

    What is old is counted from the time for which the run was planned, so that a run that goes on, or comes late, has
    the same limit.
    """

    class Config(BaseModel):
        """days: what is older goes. folder: for files; left out: into tables. page: rows in one transaction.

        most_running: while the server runs more statements than this, the archive waits. pause: seconds between pages.
        """

        database: str
        days: float = 90
        folder: Path | None = None
        page: int = Field(default=1000, ge=1)
        most_running: int = 20
        pause: float = 0.05

    def handle_task(self, offset: int, record: Any) -> None:  # a run of the schedule
        before = record.scheduled.astimezone(UTC) - timedelta(days=self.config["days"])
        folder, page = self.config["folder"], self.config["page"]
        keep = archive_manager.into_table if folder is None else archive_manager.into_files(folder)
        table, rows = record.cursor or (0, 0)
        for number, aging in enumerate(TABLES[table:], start=table):
            while True:
                self._wait_for_the_server([number, rows])
                with self.database.begin() as connection:
                    archived = archive_manager.archive_page(connection, aging, before, page, keep)
                rows += archived
                self.checkpoint([number, rows], done=rows)
                if archived < page:
                    break

    def _wait_for_the_server(self, cursor: list[int]) -> None:
        """Until it has little to do. A checkpoint is where a stop comes in, also while this waits."""
        time.sleep(self.config["pause"])
        while self._load() > self.config["most_running"]:
            self.checkpoint(cursor)
            time.sleep(1)

    def _load(self) -> int:
        with self.database.connect() as connection:
            return archive_manager.load(connection)
