"""Limits over three workers that are killed: neither is exceeded; and a checker that would notice."""

from __future__ import annotations

from pathlib import Path

from integration.scenarios.limits import AT_ONCE, PER_SECOND, Limited

SECONDS = 6.0


def test_no_limit_is_exceeded_however_workers_die(state_dir: Path) -> None:
    report = Limited(state_dir, seed=7).run(SECONDS, kill_every_s=2.0)
    assert report.complaints == [], report
    assert report.kills
    assert report.most >= AT_ONCE, "the limit at once was hardly met"
    assert report.rate > PER_SECOND / 2, "the limit a second was hardly met"


def test_the_checker_finds_limits_that_are_too_wide(state_dir: Path) -> None:
    limited = Limited(state_dir, seed=7, at_once=AT_ONCE + 4, per_second=PER_SECOND * 2)
    report = limited.run(SECONDS, kill_every_s=60.0)
    assert any("of one channel ran at once" in complaint for complaint in report.complaints), report
    assert any("tasks more began" in complaint for complaint in report.complaints), report


def test_other_numbers_hold_after_a_reload_and_nobody_restarts(state_dir: Path) -> None:
    limited = Limited(state_dir, seed=7, at_once=2, per_second=1000)
    with limited.started() as master:
        pids = [slot.pid for slot in master.slots()]
        limited.wait_until_running(master, 2)
        limited.configure(at_once=9, per_second=1000)
        answer = master.answer("reload")
        assert answer["settings"] == ["limits"]
        limited.wait_until_running(master, 9)
        assert [slot.pid for slot in master.slots()] == pids
        shown = master.verb("limits").stdout.decode()
        assert "by channel" in shown
        assert "slow" in shown
