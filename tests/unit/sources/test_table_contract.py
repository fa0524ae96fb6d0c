"""The claimed table, by the contract of all sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consumerd.sources.contract import Source, SourceContext
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.testing.source_contract import SourceContract


class TableFeed:
    """A table in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._database = str(folder / "tasks.sqlite")
        create_table(self._database)

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        enqueue(self._database, records)

    def open(self, context: SourceContext) -> Source:
        source = TableSource()
        source.open(replace(context, options=TableOptions(database=self._database, table="tasks")))
        return source


class TestTableSource(SourceContract):
    @pytest.fixture
    def feed(self, tmp_path: Path) -> TableFeed:
        return TableFeed(tmp_path)
