"""A table as a source: its rows are claimed with a lease, and settled where they stand."""

from __future__ import annotations

from collections.abc import Mapping

from consumerd.sources.askable import Askable, AskContext
from consumerd.sources.change import Change
from consumerd.sources.contract import ShardLag, Source, SourceKind, Traits
from consumerd.sources.table.options import TableOptions

TRAITS = Traits(durable_defer=True, claimed_by_any=True)


def _make() -> Source:
    from consumerd.sources.table.source import TableSource

    return TableSource()


def _probe(options: Mapping[str, object]) -> tuple[ShardLag, ...]:
    from consumerd.sources.table.lag import probe

    return probe(TableOptions.model_validate(dict(options)))


def _changes(options: Mapping[str, object], is_made: bool) -> tuple[Change, ...]:
    from consumerd.sources.table.schema.changes import changes

    return changes(TableOptions.model_validate(dict(options)), is_made=is_made)


def _ask(context: AskContext) -> Askable:
    from consumerd.sources.table.asked import AskedTable

    return AskedTable(context)


KIND = SourceKind(
    name="table", options=TableOptions, make=_make, traits=TRAITS, probe=_probe, changes=_changes, ask=_ask
)
