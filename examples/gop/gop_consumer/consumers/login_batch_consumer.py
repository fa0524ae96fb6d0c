"""The same as LoginConsumer, many logins at a time: one statement where that has one for each login."""

from __future__ import annotations

import logging

from pydantic import BaseModel

from consumerd import BatchTask, KafkaBaseConsumer
from gop_consumer import grant_manager

log = logging.getLogger(__name__)


class Login(BaseModel):
    """One login. What does not fit is parked by itself, before a batch is made: it fails no other login.

    now: when, in seconds since the epoch.
    """

    platform: int
    uid: int
    app_id: int
    now: int


class LoginBatchConsumer(KafkaBaseConsumer):
    """With `coalesce = {by = ["platform", "uid", "app_id"], order_by = "now"}`, a batch has the newest login of a user,
    which need not be the last that came.
    """

    def pre_consume(self) -> None:
        self.statements = 0

    def handle_batch(self, tasks: list[BatchTask[Login]]) -> None:
        with self.database.begin() as connection:
            grant_manager.keep_newest(connection, [task.record.model_dump() for task in tasks])
        self.statements += 1

    def post_consume(self) -> None:
        """What the post writes with log.data for each login, once for all: a log that keeps up with a spike."""
        saved = self.number_of_consumed - self.statements
        log.info("logins=%d,statements=%d,saved=%d", self.number_of_consumed, self.statements, saved)
