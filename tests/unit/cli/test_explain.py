"""What `consumerd explain` asks a master: all events that it keeps, and none of them without a deadline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pytest
from click.testing import CliRunner

from consumerd.cli import explain
from consumerd.master.control.broadcast import KEPT
from unit.doctor.test_findings import facts

ANSWERS = {"status": msgspec.to_builtins(facts().now), "limits": {"limits": []}, "destinations": []}


class Master:
    """Answers as one of which a pool is well, and keeps what it was asked."""

    def __init__(self) -> None:
        self.followed: list[tuple[str, int, float]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is open."""

    def call(self, method: str, params: object = None) -> object:
        return ANSWERS[method]

    def follow(self, method: str, params: dict[str, Any], *, timeout_s: float = math.inf) -> Iterator[object]:
        self.followed.append((method, params["recent"], timeout_s))
        return iter(())


def test_all_events_that_the_master_keeps_are_asked_for_with_a_deadline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    master = Master()
    monkeypatch.setattr(explain, "Connection", lambda path: master)
    done = CliRunner().invoke(explain.command, ["shop/mails", "--state-dir", str(tmp_path)])
    assert (done.exit_code, done.output.splitlines()[0]) == (0, "shop/mails")
    ((method, recent, timeout_s),) = master.followed
    assert (method, recent) == ("events", 2 * KEPT)
    assert timeout_s < math.inf
