"""The day of a launch: when tasks come, and how far behind the daemons were."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from world import processes
from world.front_end import SPIKE_FROM, SPIKE_UNTIL, TIMES, produce, share
from world.ledger import Ledger, read
from world.processes import Stage
from world.samples import Sample, a_second, peak


def sample(at: float, given: float, done: float, behind_s: float = 0.0) -> Sample:
    return Sample(at, {"logins": given}, {"logins": done}, {"logins": behind_s}, {}, {"login_grant": done})


def test_all_of_it_comes_and_twenty_times_as_much_in_the_spike() -> None:
    assert (share(0.0), share(1.0), share(1.5)) == (0.0, 1.0, 1.0)
    usual = share(SPIKE_FROM) / SPIKE_FROM
    within = (share(SPIKE_UNTIL) - share(SPIKE_FROM)) / (SPIKE_UNTIL - SPIKE_FROM)
    assert within / usual == pytest.approx(TIMES)


def test_a_front_end_gives_each_task_once_and_notes_how_many(tmp_path: Path) -> None:
    given: list[int] = []
    produce(range(1000), 0.05, given.extend, Ledger(tmp_path / "ledger"))
    assert given == list(range(1000))
    assert read(tmp_path / "ledger")[-1]["produced"] == 1000
    assert read(tmp_path / "ledger")[-1]["at"] <= time.time()


def test_a_long_wait_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "SAY_EVERY_S", 0.0)
    stage, counts = Stage(tmp_path), [1200, 30]
    stage.wait_for(lambda: not counts, 60.0, "nothing is under way", lambda: counts.pop(0))
    said = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["1,200 tasks are left", "30 tasks are left", "nothing is under way"]
    assert [what for _, what in stage.notes] == ["nothing is under way"]


def test_the_world_takes_nothing_of_the_daemons_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOP_BROKERS", "localhost:9092")
    monkeypatch.setenv("GOP_DATABASE", "mysql://production")
    environment = Stage(tmp_path, GOP_DATABASE="sqlite:///gop.sqlite").environment
    assert {name: value for name, value in environment.items() if name.startswith("GOP_")} == {
        "GOP_DATABASE": "sqlite:///gop.sqlite"
    }


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text(json.dumps({"produced": 1}) + "\n" + '{"prod')
    assert read(path) == [{"produced": 1}]


def test_the_peak_is_that_of_the_spike_and_it_is_over_when_it_is_as_before() -> None:
    seen = [
        sample(0, 10, 0, 9.0),
        sample(10, 20, 15),
        sample(20, 120, 30, 4.0),
        sample(30, 130, 80, 2.0),
        sample(40, 140, 130),
        sample(50, 150, 90, 1.0),
    ]
    found = peak(seen, "logins", (15, 25))
    assert (found.tasks, found.behind_s, found.caught_up_after_s) == (90, 4.0, 15)
    assert peak(seen[:4], "logins", (15, 25)).caught_up_after_s is None


def test_a_counter_that_begins_anew_has_grown_by_what_it_has() -> None:
    seen = [sample(0, 0, 10), sample(2, 0, 30), sample(3, 0, 5)]
    assert a_second(seen, lambda each: each.rows["login_grant"]) == [0.0, 10.0, 5.0]
