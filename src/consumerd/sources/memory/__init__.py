"""Numbered tasks from memory: for tests and benchmarks of everything but a source."""

from __future__ import annotations

from collections.abc import Mapping

from consumerd.sources.contract import ShardLag, Source, SourceKind, Traits
from consumerd.sources.memory.options import MemoryOptions

TRAITS = Traits(positional=False)


def _make() -> Source:
    from consumerd.sources.memory.source import MemorySource

    return MemorySource()


def _probe(options: Mapping[str, object]) -> tuple[ShardLag, ...]:
    """Nothing: there is nothing outside the worker."""
    del options
    return ()


KIND = SourceKind(name="memory", options=MemoryOptions, make=_make, traits=TRAITS, probe=_probe)
