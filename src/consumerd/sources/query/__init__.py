"""A user's own query as a source: `get_next_batch`."""

from __future__ import annotations

from collections.abc import Mapping

from consumerd.sources.contract import ShardLag, Source, SourceKind, Traits
from consumerd.sources.query.options import QueryOptions

TRAITS = Traits(positional=False, splits_keys=True)


def _make() -> Source:
    from consumerd.sources.query.source import QuerySource

    return QuerySource()


def _probe(options: Mapping[str, object]) -> tuple[ShardLag, ...]:
    """Nothing: the query is the user's."""
    del options
    return ()


KIND = SourceKind(name="query", options=QueryOptions, make=_make, traits=TRAITS, probe=_probe)
