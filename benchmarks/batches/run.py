"""One run of one way, in a process of its own: `python -m benchmarks.batches.run WAY BROKERS TOPIC DATABASE RECORDS`.

Prints its pace in records a second, from the first tenth of them to nine tenths, and its statements and rows a record.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from benchmarks.handlers import own_state, stopping
from consumerd import BatchTask, KafkaBaseConsumer

TABLE = """CREATE TABLE IF NOT EXISTS login_grant (
    platform INT UNSIGNED NOT NULL, uid BIGINT UNSIGNED NOT NULL, app_id INT UNSIGNED NOT NULL,
    last_use_time BIGINT UNSIGNED NOT NULL, PRIMARY KEY (platform, uid, app_id)
) ENGINE = InnoDB"""
KEEP_NEWEST = (
    "INSERT INTO login_grant (platform, uid, app_id, last_use_time) VALUES {rows} "
    "ON DUPLICATE KEY UPDATE last_use_time = GREATEST(last_use_time, VALUES(last_use_time))"
)
ROW = "({platform:d}, {uid:d}, {app_id:d}, {now:d})"

CONFIGS: dict[str, dict[str, Any]] = {
    "each": {},
    "batch": {"batch_size": 500},
    "coalesced": {"batch_size": 500, "batch_across": True, "coalesce": {"by": ["platform", "uid", "app_id"]}},
    "behind": {
        "batch_size": 500,
        "batch_across": True,
        "coalesce": {"by": ["platform", "uid", "app_id"], "max_wait": 1.0},
        "max_unsettled": 100_000,
    },
}


class Watch:
    """Notes when a tenth of the records is handled, and when nine tenths are."""

    def __init__(self, records: int) -> None:
        self._from, self._to = records // 10, records * 9 // 10
        self._began: tuple[int, float] | None = None
        self.pace = 0.0
        self.handled = 0

    def passed(self, handled: int) -> bool:
        self.handled = handled
        now = time.perf_counter()
        if self._began is None:
            self._began = (handled, now) if handled >= self._from else None
        elif handled >= self._to and not self.pace:
            self.pace = (handled - self._began[0]) / (now - self._began[1])
        return self.pace > 0


class Logins(KafkaBaseConsumer):
    """Writes logins on a connection of its own, and counts."""

    statements = rows = 0

    def pre_consume(self) -> None:
        import pymysql
        from sqlalchemy import make_url

        url = make_url(self.config["database"])
        self._connection = pymysql.connect(
            host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=url.database,
            autocommit=True,
        )  # fmt: skip
        self._execute = self._connection.cursor().execute
        self._execute(TABLE)

    def write(self, logins: Sequence[dict[str, int]]) -> None:
        self._execute(KEEP_NEWEST.format(rows=", ".join([ROW.format_map(login) for login in logins])))
        self.statements += 1
        self.rows += len(logins)


class OneByOne(Logins):
    """The post's way."""

    def handle_task(self, offset: int, record: dict[str, int]) -> None:
        self.write([record])


class InBatches(Logins):
    """A statement for many."""

    def handle_batch(self, tasks: list[BatchTask[dict[str, int]]]) -> None:
        self.write([task.record for task in tasks])


def main() -> None:
    way, brokers, topic, database, records = sys.argv[1:]
    watch = Watch(int(records))
    consumer_class = stopping(OneByOne if way == "each" else InBatches, watch)
    configs = {"brokers": brokers, "topic_name": topic, "consumer_group": uuid.uuid4().hex, "database": database}
    with own_state():
        consumer = consumer_class(0, **configs, **CONFIGS[way])
        consumer.consume()
    answer = {"statements": consumer.statements / watch.handled, "rows": consumer.rows / watch.handled}
    print(json.dumps({"pace": watch.pace, **answer}))


if __name__ == "__main__":
    main()
