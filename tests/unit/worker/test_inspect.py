"""What `consumerd check` finds of a consumer whose source it asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.config.problems import Inspection
from consumerd.config.redaction import Redactor
from consumerd.config.shape import ConsumerSettings
from consumerd.errors import SourceAwayError
from consumerd.sources.contract import ShardLag
from consumerd.sources.memory import KIND, MemoryOptions
from consumerd.worker.code.loader import LoadedConsumer
from consumerd.worker.inspect import probed

SETTINGS = ConsumerSettings(group="g", name="a", target="m:C", configs={}, common=CommonKeys())


@pytest.mark.parametrize(
    ("error", "is_away"),
    [(SourceAwayError("no answer"), True), (ConnectionError("no answer"), True), (KeyError("x"), False)],
)
def test_a_mistake_in_a_probe_is_no_source_that_is_away(error: Exception, is_away: bool) -> None:
    def probe(options: object) -> tuple[ShardLag, ...]:
        raise error

    kind = replace(KIND, probe=probe)
    loaded = LoadedConsumer(object, kind, SETTINGS.common, MemoryOptions(), {}, (), Redactor([]))
    found = probed(Inspection(), loaded, SETTINGS)
    assert (bool(found.away), bool(found.problems)) == (is_away, not is_away)
