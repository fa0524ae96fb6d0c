"""What the benchmarks make of what they measure."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.figures import Better, Figure, percentile
from benchmarks.hello import DIRECTORY, announce, listening
from benchmarks.proc import Stat, descendants, parsed_pss, parsed_stat
from benchmarks.supervision.peers import Peer, requirements
from benchmarks.supervision.start_stop import told


def test_a_percentile_is_one_of_the_values():
    assert percentile([3.0, 1.0, 2.0, 4.0], 50) == 2.0
    assert percentile([float(number) for number in range(1, 101)], 99) == 99.0
    assert percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(("value", "holds"), [(10.0, True), (10.1, False)])
def test_a_figure_at_its_bar_holds(value: float, holds: bool):
    assert Figure("", "", "", value, 10.0, Better.LOWER).holds is holds


def test_the_name_of_a_process_may_hold_anything():
    times = "0 0 0 -1 0 0 0 0 0 150 50 200 100 20 0 1 0 0"
    assert parsed_stat(f"7 (a) S (b) S 3 {times}") == Stat(parent=3, cpu_s=5.0)


def test_pss_is_read_in_bytes():
    assert parsed_pss("Rss:  9 kB\nPss:  12 kB\nPss_Dirty:  3 kB\n") == 12 * 1024


def test_the_processes_below_one_are_found_level_by_level():
    stats = {pid: Stat(parent, 0.0) for pid, parent in {1: 0, 5: 1, 6: 5, 7: 6, 8: 5, 9: 1}.items()}
    assert descendants(5, stats) == [6, 8, 7]


def test_what_a_worker_announces_is_heard_once_for_each_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    with listening(tmp_path) as hellos:
        announce(3)
        announce(4)
        assert [hello.slot for hello in hellos.gather(1, 5.0)] == [3]
        with pytest.raises(TimeoutError, match="1 of 2 workers"):
            hellos.gather(2, 0.0)


def test_a_peer_that_cannot_is_told_in_words():
    fast, slow = (Peer(name, "1.0", lambda workers, is_crashing: lambda directory: []) for name in ("fast", "slow"))
    assert told({fast: 0.1234, slow: None}, "s") == "fast 1.0 0.123 s; slow 1.0 never"


def test_every_peer_is_required_with_an_upper_bound():
    pyproject = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert all(",<" in requirement for requirement in requirements(pyproject))
