"""Facts: what has become true. Code emits them; listeners write log lines, count, or pass them on.

A fact's name is in the past tense. Its fields are plain values; never a payload, never a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Level(StrEnum):
    """error: a human must look; warning: a human may look; info: state changed; debug: everything else."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing worth knowing.

    name: past tense, `task_failed`; fields: consumer, worker, task, attempt and whatever else tells about it.
    """

    name: str
    level: Level = Level.INFO
    fields: dict[str, object] = field(default_factory=dict)


class Listener(Protocol):
    """Who is told of every fact, in the thread that emits it."""

    def __call__(self, fact: Fact) -> None: ...
