"""Delivers the events of one app to its endpoint."""

from __future__ import annotations

from typing import Any

from consumerd import MySQLBaseConsumer
from gop_consumer import app_event_manager, settings
from gop_consumer.app_event_manager import App
from gop_consumer.database import Row, refresh_db_connections


class AppEventDBConsumer(MySQLBaseConsumer):
    """One task is one row of `app_event`. All times in seconds; each of them can be given in `configs`.

    timeout: how long an endpoint may take; back_off_time: until the first retry, doubling up to max_back_off_time;
    expire_time: from the first attempt until an event is given up.
    """

    def __init__(self, worker_id: int, **kwargs: Any) -> None:  # configs hold any plain value
        self.timeout = kwargs.get("timeout", 10)
        self.back_off_time = kwargs.get("back_off_time", 10)
        self.max_back_off_time = kwargs.get("max_back_off_time", 2 * 60 * 60)
        self.expire_time = kwargs.get("expire_time", 4 * 24 * 60 * 60)
        self.app_id = kwargs["app_id"]
        self.app: App | None = None
        super().__init__(worker_id, **kwargs)

    def get_next_batch(self) -> list[Row]:
        refresh_db_connections()
        return app_event_manager.get_fresh_event_by_app_id(self.app_id, settings.FRESH_RETRY_THRESHOLD)

    def handle_task(self, offset: int, record: Row) -> None:
        refresh_db_connections()
        if self.app is None:
            self.app = app_event_manager.get_app(self.app_id)
        app_event_manager.post_event(self.app, record, timeout=self.timeout)
        app_event_manager.mark_sent(record["id"])

    def on_parked(self, record: Row, outcome: object) -> None:
        """consumerd keeps the event from here on: take it out of the query's sight, so that those behind it come up."""
        app_event_manager.mark_failed(record["id"])
