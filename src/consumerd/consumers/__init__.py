"""The classes that users subclass."""

from consumerd.consumers.base import BaseConsumer
from consumerd.consumers.of_sources import (
    KafkaBaseConsumer,
    MySQLBaseConsumer,
    ScheduleBaseConsumer,
    SQLBaseConsumer,
    TableBaseConsumer,
)

__all__ = [
    "BaseConsumer",
    "KafkaBaseConsumer",
    "MySQLBaseConsumer",
    "SQLBaseConsumer",
    "ScheduleBaseConsumer",
    "TableBaseConsumer",
]
