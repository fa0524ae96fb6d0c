"""Notes each login in the database: the consumer of the post on traffic spikes."""

from __future__ import annotations

from typing import Any

from consumerd import KafkaBaseConsumer
from gop_consumer import grant_manager
from gop_consumer.database import refresh_db_connections


class LoginConsumer(KafkaBaseConsumer):
    """One task is one login: a platform, a user, an app, and when."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:  # a record is whatever JSON the topic holds
        refresh_db_connections()
        platform = record["platform"]
        uid = record["uid"]
        app_id = record["app_id"]
        last_use_time = record["now"]
        grant_manager.update_grant_use_time(platform, uid, app_id, last_use_time)
