"""consumerd: the process manager that understands consumers.

Importing this package imports nothing; a name is resolved at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumerd.version import __version__

if TYPE_CHECKING:
    from consumerd.consumers import (
        BaseConsumer,
        KafkaBaseConsumer,
        MySQLBaseConsumer,
        ScheduleBaseConsumer,
        SQLBaseConsumer,
        TableBaseConsumer,
    )
    from consumerd.events.line_handler import LogHandler
    from consumerd.model.batch_task import BatchTask
    from consumerd.model.outcome import Dead, Retry, TaskInterrupted

_CONSUMERS = "consumerd.consumers"
_OUTCOMES = "consumerd.model.outcome"
_HOMES = {
    "BaseConsumer": _CONSUMERS,
    "KafkaBaseConsumer": _CONSUMERS,
    "MySQLBaseConsumer": _CONSUMERS,
    "ScheduleBaseConsumer": _CONSUMERS,
    "SQLBaseConsumer": _CONSUMERS,
    "TableBaseConsumer": _CONSUMERS,
    "BatchTask": "consumerd.model.batch_task",
    "Dead": _OUTCOMES,
    "LogHandler": "consumerd.events.line_handler",
    "Retry": _OUTCOMES,
    "TaskInterrupted": _OUTCOMES,
}

__all__ = [
    "BaseConsumer",
    "BatchTask",
    "Dead",
    "KafkaBaseConsumer",
    "LogHandler",
    "MySQLBaseConsumer",
    "Retry",
    "SQLBaseConsumer",
    "ScheduleBaseConsumer",
    "TableBaseConsumer",
    "TaskInterrupted",
    "__version__",
]


def __getattr__(name: str) -> Any:  # a module's attribute may be anything
    if name not in _HOMES:
        raise AttributeError(f"module 'consumerd' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
