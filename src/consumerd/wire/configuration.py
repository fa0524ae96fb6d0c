"""What `configuration` answers: entries as they are written, without passwords, and what reloads have changed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class KeyChange(Struct, frozen=True):
    """A key of an entry that a reload has changed; null: it was not there, or is not any more."""

    key: str
    before: str | None
    after: str | None


class PoolChange(Struct, frozen=True, kw_only=True):
    """What a reload has changed of a pool."""

    at: float
    kind: Annotated[str, Meta(description="added, removed, enabled, disabled, replaced or amended.")]
    keys: list[KeyChange]


class PoolConfiguration(Struct, frozen=True, kw_only=True):
    """One consumer's entry, as it is in force."""

    name: str
    target: str
    origin: Annotated[str, Meta(description="The file, or `module:NAME`.")]
    configs: Annotated[dict[str, str], Meta(description="Each key's value as JSON, references as they are written.")]
    defaulted: Annotated[list[str], Meta(description="The keys that come from `consumerd.defaults`.")]
    changes: Annotated[list[PoolChange], Meta(description="Since the master started, the newest first.")]
