"""A user's own `iterate_task` as a source."""

from __future__ import annotations

from collections.abc import Mapping

from consumerd.sources.contract import ShardLag, Source, SourceKind, Traits
from consumerd.sources.generator.options import GeneratorOptions

TRAITS = Traits(positional=True, gives_away=True)


def _make() -> Source:
    from consumerd.sources.generator.source import GeneratorSource

    return GeneratorSource()


def _probe(options: Mapping[str, object]) -> tuple[ShardLag, ...]:
    """Nothing: only running the generator could tell."""
    del options
    return ()


KIND = SourceKind(name="generator", options=GeneratorOptions, make=_make, traits=TRAITS, probe=_probe)
