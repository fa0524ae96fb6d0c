"""Every event is documented, and no other."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
EMITTED = re.compile(r"(?:\bFact|\b_?report|\b_?emit)\(\s*\"([a-z_]+)\"")
DOCUMENTED = re.compile(r"`([a-z_]+)`")


def emitted() -> set[str]:
    sources = (REPOSITORY / "src" / "consumerd").rglob("*.py")
    return {name for source in sources for name in EMITTED.findall(source.read_text())}


def documented() -> set[str]:
    rows = [line for line in (REPOSITORY / "docs" / "events.md").read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in DOCUMENTED.findall(row.split("|")[1])}


def test_every_event_is_documented_and_no_other() -> None:
    assert documented() == emitted()
