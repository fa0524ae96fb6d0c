"""What a child process finds out about one consumer, for `check`: both ends of their talk know it by this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consumerd.config.problems import Problem


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found out about one consumer so far.

    problems: what is wrong with it.
    source: the kind of its source; empty where the consumer cannot be loaded.
    remarks: what its class cannot guarantee, or does on its own; a sentence each.
    lag: how far each shard of its source is behind; the fields of `ShardLag`, printed as they are.
    away: why its source could not be asked for that; empty where it could, or was not to be asked.
    """

    problems: tuple[Problem, ...] = ()
    source: str = ""
    remarks: tuple[str, ...] = ()
    lag: tuple[dict[str, Any], ...] = ()  # plain data
    away: str = ""
