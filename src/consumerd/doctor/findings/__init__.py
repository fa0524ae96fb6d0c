"""The findings, one a file: what is wrong comes before what it brings about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from consumerd.doctor.facts import Facts, Finding
from consumerd.doctor.findings import (
    behind,
    changes,
    clocks,
    crashes,
    destinations,
    disk,
    errors,
    keys,
    limits,
    loading,
    memory,
    other,
    partitions,
    schedules,
    slow,
    sources,
    stores,
    stuck,
)

Find = Callable[[Facts], Iterator[Finding]]

ALL: Sequence[Find] = (
    disk.find,
    stores.find,
    loading.find,
    sources.find,
    changes.find,
    clocks.find,
    stuck.find,
    memory.find,
    crashes.find,
    partitions.find,
    destinations.find,
    errors.find,
    limits.find,
    schedules.find,
    keys.find,
    slow.find,
    behind.find,
)


def findings(facts: Facts) -> list[Finding]:
    """All that is wrong, causes first."""
    found = [finding for find in ALL for finding in find(facts)]
    if any(not finding.consumer for finding in found):
        return found  # what concerns all explains the rest
    return [*found, *other.find(facts, {finding.consumer for finding in found})]
