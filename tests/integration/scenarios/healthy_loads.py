"""The consumers of a healthy hour. Some of their tasks fail, and succeed later, as in life."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from consumerd import BaseConsumer, KafkaBaseConsumer, ScheduleBaseConsumer, SQLBaseConsumer, TableBaseConsumer

Record = dict[str, Any]  # what a source yields has any shape

FAILS, BATCH = 0.01, 20


class PartnerError(Exception):
    """What now and then happens."""


class Logins(KafkaBaseConsumer):
    """In order by user."""

    def task_key(self, record: Record) -> str:
        return str(record["user"])

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(random.uniform(0.001, 0.01))
        if random.random() < FAILS:
            raise PartnerError("the partner was busy")


class Profiles(TableBaseConsumer):
    """The newest of each user stands for those before it."""

    def handle_batch(self, tasks: Sequence[Any]) -> None:
        time.sleep(random.uniform(0.001, 0.05))
        if random.random() < FAILS:
            raise PartnerError("the partner was busy")


class Asked(SQLBaseConsumer):
    number = 0

    def get_next_batch(self) -> list[Record]:
        time.sleep(0.3)
        first, self.number = self.number, self.number + BATCH
        return [{"id": f"{os.getpid()}-{number}"} for number in range(first, self.number)]

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(random.uniform(0.001, 0.05))


class Timely(ScheduleBaseConsumer):
    def handle_task(self, offset: int, record: Any) -> None:
        time.sleep(1.0)


class Generated(BaseConsumer):
    def iterate_task(self) -> Iterator[tuple[int, Record]]:
        number = 0
        while not self.can_stop_consume():
            yield number, {"id": f"{os.getpid()}-{number}"}
            number += 1
            time.sleep(0.02)

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(random.uniform(0.001, 0.01))
