"""The configuration of each pool as people may see it: in force, and what reloads have changed. Runs in the master."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from consumerd import clock
from consumerd.config.diff import Change
from consumerd.config.masking import masked
from consumerd.config.shape import ConsumerSettings
from consumerd.wire.configuration import KeyChange, PoolChange, PoolConfiguration

KEPT = 5
"""So many changes of a pool are kept, the last ones."""


class PastChanges:
    """What reloads have changed since the master started, by `group/name`."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[PoolChange]] = {}

    def note(self, changes: Iterable[Change], before: Mapping[str, ConsumerSettings]) -> None:
        """A reload's. before: the entries that were in force."""
        for change in changes:
            name, was, now = str(change.consumer), before.get(str(change.consumer)), change.after
            keys = [KeyChange(key, _value(was, key), _value(now, key)) for key in change.keys]
            kept = self._changes.setdefault(name, deque(maxlen=KEPT))
            kept.appendleft(PoolChange(at=clock.wall(), kind=change.kind.value, keys=keys))

    def of(self, settings: ConsumerSettings) -> PoolConfiguration:
        """A pool's, with the entry in force."""
        configs = {key: _shown(key, value) for key, value in settings.configs.items()}
        return PoolConfiguration(
            name=str(settings.full_name),
            target=settings.target,
            origin=settings.origin,
            configs=configs,
            defaulted=sorted(settings.defaulted),
            changes=list(self._changes.get(str(settings.full_name), ())),
        )


def _value(settings: ConsumerSettings | None, key: str) -> str | None:
    """As it is written; None where the entry does not have it, or there is no entry."""
    if settings is None:
        return None
    if key in ("class", "module"):
        return settings.target
    return _shown(key, settings.configs[key]) if key in settings.configs else None


def _shown(key: str, value: Any) -> str:  # a value of any configuration
    """As JSON, without what nobody may see. References stand as they are written."""
    return json.dumps(masked(key, value), ensure_ascii=False, default=str)
