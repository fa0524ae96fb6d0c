"""What `consumerd explain` reads of the audit log, which may be another user's."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.cli import explain
from consumerd.state.state_dir import StateDirectory

DEADLINE_S = 10


@pytest.fixture
def audit_log(state_dir: Path) -> Iterator[Path]:
    def too_late(*_: object) -> None:
        raise AssertionError("the audit log is read without an end")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(DEADLINE_S)
    yield state_dir / "audit.log"
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def entry(method: str) -> str:
    return json.dumps({"at": "2026-01-01T00:00:00.000Z", "user": "ann", "method": method, "params": {}, "failed": None})


def methods(audit_log: Path) -> list[str]:
    return [act.method for act in explain._acts(StateDirectory(audit_log.parent))]


def test_the_end_of_the_log_is_read_and_no_more(audit_log: Path) -> None:
    lines = [entry("pause"), *[entry("scale")] * (explain.AUDIT_BYTES // len(entry("scale"))), entry("resume")]
    audit_log.write_text("\n".join(lines) + "\n")
    read = methods(audit_log)
    assert read[-1] == "resume"
    assert "pause" not in read


def test_a_pipe_that_nobody_writes_is_not_waited_for(audit_log: Path) -> None:
    os.mkfifo(audit_log)
    assert methods(audit_log) == []


def test_a_device_without_an_end_is_not_read(audit_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "acts_in", list)
    audit_log.symlink_to("/dev/zero")
    assert explain._acts(StateDirectory(audit_log.parent)) == []
