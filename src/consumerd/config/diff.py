"""What differs between two configurations, and what each difference asks for. Pure.

A change of keys that concern the master alone restarts nobody; any other change of a consumer's entry is a new edition
of its pool. The changes from a to b, applied to the consumers of a, make those of b.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from consumerd.config.common_keys import MASTERS_KEYS
from consumerd.config.shape import ConsumerSettings, Document, Settings
from consumerd.model.identity import ConsumerName

_WHERE_IT_STANDS = {"origin", "path", "defaulted", "module_key"}
_TABLES = {"configs", "common"}

TAKEN_OVER = frozenset({"on_event", "limits"})
"""The settings that a master takes over as it runs, and nobody restarts; it reads the others when it starts."""


class ChangeKind(StrEnum):
    """What becomes of a consumer's pool."""

    ADDED = "added"
    REMOVED = "removed"
    ENABLED = "enabled"
    """It is started from now on."""
    DISABLED = "disabled"
    """It is not started from now on, or was not and differs."""
    REPLACED = "replaced"
    """It gets a new edition."""
    AMENDED = "amended"
    """It changes without a restart of anybody."""


@dataclass(frozen=True, slots=True)
class Change:
    """One consumer's change.

    after: its new entry; None where it is removed.
    keys: the names of the keys that differ.
    """

    kind: ChangeKind
    consumer: ConsumerName
    after: ConsumerSettings | None
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        written = ("class" if key == "target" else key for key in self.keys)
        keys = f" ({', '.join(written)})" if self.keys else ""
        return f"{self.consumer} {self.kind.value}{keys}"


def diff(
    before: Document, after: Document, live: Callable[[ConsumerName], frozenset[str]] = lambda name: frozenset()
) -> tuple[Change, ...]:
    """The changes that lead from `before` to `after`, in the order of `after`, removals last.

    live: the keys of a consumer's own that its workers take over while they run.
    """
    old = {consumer.full_name: consumer for consumer in before.consumers}
    new = {consumer.full_name: consumer for consumer in after.consumers}
    has_other_default = before.settings.stop_timeout != after.settings.stop_timeout
    changes = [
        _change(old.get(name), consumer, MASTERS_KEYS | live(name), has_other_default=has_other_default)
        for name, consumer in new.items()
    ]
    removed = [Change(ChangeKind.REMOVED, name, None) for name in old if name not in new]
    return (*(change for change in changes if change is not None), *removed)


def changed_settings(before: Document, after: Document) -> list[str]:
    """The settings that differ, but for the time of a stop, which is told of the pools for which it counts."""
    keys = (key for key in Settings.model_fields if key != "stop_timeout")
    return [key for key in keys if getattr(before.settings, key) != getattr(after.settings, key)]


def _change(
    before: ConsumerSettings | None, after: ConsumerSettings, gentle: frozenset[str], *, has_other_default: bool
) -> Change | None:
    """What becomes of one consumer, where anything does.

    gentle: the keys whose change restarts nobody.
    has_other_default: whether `consumerd.stop_timeout` differs, which holds where the entry has none of its own.
    """
    name = after.full_name
    if before is None:
        return Change(ChangeKind.ADDED, name, after)
    keys = _keys(before, after)
    if not after.common.enabled:
        return Change(ChangeKind.DISABLED, name, after, keys) if keys else None
    if not before.common.enabled:
        return Change(ChangeKind.ENABLED, name, after, keys)
    if has_other_default and after.common.stop_timeout is None and "stop_timeout" not in keys:
        keys = (*keys, "stop_timeout")
    if not gentle.issuperset(keys):
        return Change(ChangeKind.REPLACED, name, after, keys)
    return Change(ChangeKind.AMENDED, name, after, keys) if keys else None


def _keys(before: ConsumerSettings, after: ConsumerSettings) -> tuple[str, ...]:
    """The keys that differ in the entry, in `configs` as written, or among the common keys as they were resolved."""
    entry = _differing(*(each.model_dump(exclude=_WHERE_IT_STANDS | _TABLES) for each in (before, after)))
    written = _differing(before.configs, after.configs)
    resolved = _differing(before.common.model_dump(), after.common.model_dump())
    return tuple(dict.fromkeys((*entry, *written, *resolved)))


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    keys = dict.fromkeys((*before, *after))
    return tuple(key for key in keys if key not in before or key not in after or before[key] != after[key])
