"""The audit log, as the page reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumerd.dashboard.pages import happenings
from consumerd.dashboard.pages.happenings import entries


def test_entries_come_newest_first_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    asked = {"at": "2026-01-01T00:00:00.000Z", "user": "root", "via": "operator at ::1", "method": "pause"}
    lines = [
        {**asked, "params": {"target": "shop"}, "failed": None},
        {"at": "later", "event": "pool_scaled", "workers": 2},
    ]
    log.write_text("\n".join([*map(json.dumps, lines), '{"at": "torn', "[1]"]))
    told = list(entries(log))
    assert [(entry["who"], entry["what"], entry["fields"]) for entry in told] == [
        ("", "pool_scaled", {"workers": 2}),
        ("operator at ::1", "pause", {"target": "shop"}),
    ]
    assert list(entries(tmp_path / "none")) == []


def test_of_a_long_log_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "TAIL_BYTES", 1_000)
    log = tmp_path / "audit.log"
    log.write_text("".join(json.dumps({"at": "x", "method": f"m{number}"}) + "\n" for number in range(1_000)))
    told = list(entries(log))
    assert told[0]["what"] == "m999"
    assert 10 < len(told) < 50
