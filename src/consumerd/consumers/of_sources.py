"""The classes that users subclass, one for each kind of source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from consumerd.consumers.base import BaseConsumer
from consumerd.model.contract import default_hook
from consumerd.sources.abilities import Resumes


class KafkaBaseConsumer(BaseConsumer):
    """Tasks from a Kafka topic: keys `brokers`, `topic_name`, `consumer_group`; a record is the decoded JSON.

    class LoginConsumer(KafkaBaseConsumer):
        def handle_task(self, offset, record):
            grant_manager.update_grant_use_time(record["platform"], record["uid"], record["app_id"], record["now"])
    """

    SOURCE = "kafka"

    @default_hook
    def handle_tombstone(self, offset: int, key: bytes | None) -> object:
        """Handle a message without a value: in a compacted topic, it deletes what its key stands for.

        It answers and fails as `handle_task` does. Without an override, such messages are passed over.
        """

    @default_hook
    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        """What an override builds on: (offset, record) from `self.consume_client`, as the post had it."""
        from consumerd.sources.decoding import decode_json

        for offset, value in self.consume_client.consume():
            if value is None:
                continue  # a tombstone is no record
            yield offset, decode_json(value)


class SQLBaseConsumer(BaseConsumer):
    """Tasks from a query of the user's, on any SQL database: write `get_next_batch` and `handle_task`.

    class GrantConsumer(SQLBaseConsumer):
        def get_next_batch(self):
            return database.execute("SELECT * FROM grants WHERE state = 'new' LIMIT 100").fetchall()

        def handle_task(self, offset, record):
            give(record)  # and mark its row, so that the query returns it no more
    """

    SOURCE = "query"

    @default_hook
    def get_next_batch(self) -> Iterable[Any]:
        """The next rows to handle. The query and the row's state are the user's; an empty answer waits `SLEEP_TIME`."""
        raise NotImplementedError(f"{type(self).__name__} must define get_next_batch")

    @default_hook
    def waiting(self) -> int:
        """How many rows wait to be handled, such as `SELECT count(*) …`, for the lag in `status`. Called between two
        queries, every ten seconds; without it nobody knows the lag.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how many rows wait")

    @default_hook
    def mark_done(self, record: Any, connection: Any) -> int | None:
        """Called at the end of the block of `self.transaction()`: mark the row, on this connection. Return how many
        rows that changed: with 0, somebody else has marked it, and all is rolled back.
        """

    @default_hook
    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        """What an override builds on: the rows of `get_next_batch`, for ever."""
        import time

        while not self.can_stop_consume():
            batch = self.get_next_batch()
            if not batch:
                time.sleep(self.SLEEP_TIME)
                continue
            yield from enumerate(batch)


class MySQLBaseConsumer(SQLBaseConsumer):
    """The MySQL and MariaDB face of `SQLBaseConsumer`, under the post's name."""


class TableBaseConsumer(BaseConsumer):
    """Tasks from a table that consumerd claims rows of: keys `database`, `table`; a record is the decoded payload.

    class InvoiceConsumer(TableBaseConsumer):
        def handle_task(self, offset, record):
            send_invoice(record["order"])
    """

    SOURCE = "table"


class ScheduleBaseConsumer(BaseConsumer):
    """Runs at the times of a schedule: key `cron` or `every`; one run at each, over all workers and hosts."""

    SOURCE = "schedule"

    def checkpoint(self, cursor: Any, *, done: float | None = None, total: float | None = None) -> None:
        """Keep how far this run has come: it goes on from there, as `record.cursor`. This counts as progress.

        cursor: any value that JSON has, up to 64 KiB. done, total: for `status`. SystemExit where the worker is to stop
        or has lost the run, which is no failed attempt.
        """
        self.progress()
        source, is_ours = self._running.source, True
        if isinstance(source, Resumes):
            is_ours = source.checkpoint(cursor, done, total)
        if self._running.may_stop() or not is_ours:
            raise SystemExit("the run goes on from this checkpoint on the worker that has it next")
