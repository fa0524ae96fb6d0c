"""Names that two consumers of a group share, and what they might be called instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumerd.config.problems import Path, Problem
from consumerd.config.tables import Place
from consumerd.model.identity import is_name

_LONGEST_DISTINCTION = 32


@dataclass(frozen=True, slots=True)
class Named:
    """A consumer's name, the place of its entry, and its `configs`, which may tell it from others."""

    name: str
    path: Path
    configs: Mapping[str, Any]  # plain values


def duplicate_problems(consumers: Sequence[Named], group: Place) -> list[Problem]:
    """One problem for each name that stands more than once, at its second place, with a name for each."""
    by_name: dict[str, list[Named]] = {}
    for consumer in consumers:
        by_name.setdefault(consumer.name, []).append(consumer)
    return [_problem(same, group) for same in by_name.values() if len(same) > 1]


def _problem(same: Sequence[Named], group: Place) -> Problem:
    taken = f"{len(same)} consumers of this group are named '{same[0].name}'"
    proposed = ", ".join(f"'{name}'" for name in proposals(same))
    return Problem(group.origin, same[1].path, f"{taken}: give each a name of its own, for instance {proposed}")


def proposals(same: Sequence[Named]) -> list[str]:
    """Different names: by the first key of `configs` in which they differ (a topic, an app_id), else by number."""
    for key in same[0].configs:
        names = [f"{consumer.name}-{consumer.configs.get(key)}" for consumer in same]
        if _tells_apart(key, same) and len(set(names)) == len(names) and all(map(is_name, names)):
            return names
    return [f"{consumer.name[:60]}-{number}" for number, consumer in enumerate(same, start=1)]


def _tells_apart(key: str, same: Iterable[Named]) -> bool:
    values = [consumer.configs.get(key) for consumer in same]
    are_short = all(isinstance(value, str | int) and not isinstance(value, bool) for value in values)
    return key != "workers" and are_short and all(len(str(value)) <= _LONGEST_DISTINCTION for value in values)
