"""A day of figures outlives the process that keeps it, and nothing else's file is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumerd.dashboard.history import UNKNOWN, Figure, Ring
from consumerd.dashboard.history_file import FILE_BYTES, HEAD_BYTES, POOLS, SLOT, STEPS, HistoryFile
from consumerd.errors import UsageError

NOW = 60.0 * 1_000_000


def ring_of(file: HistoryFile, name: str) -> Ring:
    ring = file.ring(name)
    assert ring is not None
    return ring


def values(ring: Ring, until: int, count: int = 5) -> list[float | None]:
    found = ring.values(Figure.P50_S, until, count)
    return [value if value == value else None for value in found]


@given(st.lists(st.integers(1, 3 * STEPS), max_size=8))
@settings(max_examples=30, deadline=None)
def test_what_was_noted_is_there_when_the_file_is_opened_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history"
    ring = ring_of(HistoryFile(path, NOW), "shop/orders")
    for step in steps:
        ring.note(step, [float(step % 100)] * len(Figure))
    again = ring_of(HistoryFile(path, NOW), "shop/orders")
    until = max(steps, default=1)
    assert values(again, until, STEPS) == values(ring, until, STEPS)
    assert again.last == ring.last
    assert path.stat().st_size == FILE_BYTES


def test_a_pool_that_is_new_takes_the_slot_that_was_not_seen_for_longest(tmp_path: Path) -> None:
    path = tmp_path / "history"
    before = HistoryFile(path, NOW)
    for number in range(POOLS):
        ring_of(before, f"old/{number}").note(100 + number, [1.0] * len(Figure))
    assert before.ring("one/more") is None
    after = HistoryFile(path, NOW)
    assert values(ring_of(after, "new/pool"), 100, 1) == [None]
    assert values(ring_of(after, "old/1"), 101, 1) == [1.0]
    assert values(ring_of(after, "old/0"), 100, 1) == [None]


@pytest.mark.parametrize("content", [b"the notes of somebody", b"\x00" * 100, b"consumerd"])
def test_a_file_that_is_none_of_ours_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no history of consumerd's"):
        HistoryFile(path, NOW)
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing" / "history"):
        with pytest.raises(UsageError):
            HistoryFile(path, NOW)


@pytest.mark.parametrize("size", [HEAD_BYTES, FILE_BYTES // 2, FILE_BYTES - 1, FILE_BYTES + 1])
def test_a_torn_file_is_begun_anew(tmp_path: Path, size: int) -> None:
    path = tmp_path / "history"
    ring_of(HistoryFile(path, NOW), "shop/orders").note(7, [1.0] * len(Figure))
    os.truncate(path, size)
    assert values(ring_of(HistoryFile(path, NOW), "shop/orders"), 7, 1) == [None]
    assert path.stat().st_size == FILE_BYTES


def test_nonsense_in_a_slot_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "history"
    ring_of(HistoryFile(path, NOW), "shop/orders").note(7, [1.0] * len(Figure))
    with path.open("r+b") as file:
        file.seek(HEAD_BYTES + SLOT.size)
        file.write(b"\xff\x7f\x80\xff" * 2 * len(Figure) * 8)
        file.seek(HEAD_BYTES + SLOT.size - 8)
        file.write((2**63).to_bytes(8, "little"))
    ring = ring_of(HistoryFile(path, NOW), "shop/orders")
    assert ring.last == 0
    assert values(ring, 7) == [None] * 5
    assert UNKNOWN != UNKNOWN


def test_a_file_that_another_process_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history"
    HistoryFile(path, NOW).close()
    held = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", held, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UsageError, match="in use by another process"):
            HistoryFile(path, NOW)
        other.communicate(b"\n")
