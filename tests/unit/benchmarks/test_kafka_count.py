"""What a measured process tells of its own pace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.hello import DIRECTORY, listening
from benchmarks.kafka.count import ANSWER, Count


@pytest.mark.parametrize("sizes", [[1] * 10, [4, 4, 4], [3, 7], [1, 9, 5]])
def test_it_tells_once_and_counts_from_the_first_to_the_last(
    sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    count, handled = Count(10), 0
    with listening(tmp_path) as hellos:
        for size in sizes:
            count.add(size)
            before, handled = handled, handled + size
            assert (hellos.next(0) is not None) is (before < 10 <= handled)
    answer = json.loads((tmp_path / ANSWER).read_text())
    assert answer["pace"] > 0


def test_one_by_one_nothing_is_told_before_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    with listening(tmp_path) as hellos:
        count = Count(5)
        for _ in range(4):
            count()
        assert hellos.next(0) is None
        count()
        assert hellos.next(1) is not None
        count()
        assert hellos.next(0) is None
