"""The manual's tables of events say what is declared: every name, its levels, its fields."""

from __future__ import annotations

import re
from pathlib import Path

from consumerd.events import DECLARED
from consumerd.events.facts import Level

DOCUMENT = Path(__file__).parents[3] / "docs" / "events.md"
QUOTED = re.compile(r"`([a-z_]+)`")
COMMON = "consumer"
"""Audience of once, above the tables."""

Row = tuple[set[Level], set[str]]


def declared() -> dict[str, Row]:
    """By name: its levels and fields. Two events that have one name in the log are one row."""
    rows: dict[str, Row] = {}
    for event in DECLARED:
        levels, fields = rows.setdefault(event.name, (set(), set()))
        levels |= set(event.levels)
        fields |= set(event.fields) - {COMMON}
    return rows


def documented() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `"):
            _, names, levels, fields, _ = line.split("|", 4)
            row = set(map(Level, levels.replace(",", " ").split())), set(QUOTED.findall(fields))
            rows |= dict.fromkeys(QUOTED.findall(names), row)
    return rows


def test_the_manual_has_every_event_with_its_levels_and_fields_and_no_other() -> None:
    assert documented() == declared()
