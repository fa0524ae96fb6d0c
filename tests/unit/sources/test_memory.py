"""The in-memory source, by the contract of all sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from consumerd.sources.contract import Source, SourceContext
from consumerd.sources.memory import MemoryOptions, MemorySource
from consumerd.testing.source_contract import SourceContract


class MemoryFeed:
    """Records go in before the source is opened; none outlives it."""

    def __init__(self) -> None:
        self._records: list[dict[str, object]] = []

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        self._records += records

    def open(self, context: SourceContext) -> Source:
        source = MemorySource()
        source.open(replace(context, options=MemoryOptions(records=list(self._records))))
        return source


class TestMemorySource(SourceContract):
    is_durable = False

    @pytest.fixture
    def feed(self) -> MemoryFeed:
        return MemoryFeed()
