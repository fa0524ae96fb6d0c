"""Limits over workers that are killed, and over hosts: none is exceeded; and a checker that would notice."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from integration.scenarios.limits import AT_ONCE, PER_SECOND, Limited, helper_of, running_of, shown
from integration.scenarios.running import READY_S, Running, kill
from servers.proxy import between
from servers.waiting import wait_until

SECONDS = 6.0
LEAVES_S = 20.0
"""Less than a lease: a host that stops as it should gives up what it has."""


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
        assert master.verb("limits", "small").stdout.decode().startswith("LIMIT ")
        assert "there is no consumer 'nobody'" in master.verb("limits", "nobody").stderr.decode()
        assert "slow" in shown


def test_numbers_of_keys_are_read_from_a_table_of_the_users_and_the_last_ones_hold_while_it_is_away(
    state_dir: Path, mariadb_url: str
) -> None:
    partners = create_engine(mariadb_url)

    def execute(statement: str) -> None:
        with partners.begin() as connection:
            connection.execute(text(statement))

    execute("CREATE TABLE partner (name VARCHAR(20), most INT)")
    execute("INSERT INTO partner VALUES ('slow', 3), ('quick-1', -4)")
    limited = Limited(state_dir, seed=7)
    query = "SELECT name, most AS at_once FROM partner"
    limited.configure(AT_ONCE, 1000, numbers={"database": mariadb_url, "query": query, "every": 1})
    with limited.started() as master:
        limited.wait_until_running(master, 3)
        execute("UPDATE partner SET most = 5 WHERE name = 'slow'")
        limited.wait_until_running(master, 5)
        execute("RENAME TABLE partner TO elsewhere")
        wait_until_logged(master, "limit_numbers_unread")
        assert numbers_of(master, "slow") == 5
        execute("UPDATE elsewhere SET most = 7 WHERE name = 'slow'")
        execute("RENAME TABLE elsewhere TO partner")
        limited.wait_until_running(master, 7)
        execute("DELETE FROM partner WHERE name = 'slow'")
        limited.wait_until_running(master, AT_ONCE)
        kill(helper_of(master))
        wait_until_logged(master, "limits_helper_ended")
        execute("INSERT INTO partner VALUES ('slow', 2)")
        limited.wait_until_running(master, 2)
    log = master.log.read_text()
    assert log.count("limit_number_refused") == 2, "once for each helper"
    partners.dispose()


def test_hosts_share_limits_and_who_is_alone_has_all(state_dir: Path, database_url: str) -> None:
    limited = Limited(state_dir, seed=7, per_second=1000, hosts=2, parking=database_url)
    with limited.started(seconds=20) as first, limited.running(host=1) as second:
        wait_until(lambda: all(hosts_of(each) == 2 for each in (first, second)), READY_S, "two hosts")
        limited.wait_until_running(first, AT_ONCE)
        limited.fill(1, 20)
        for master in (first, second):
            wait_until(partial(has_at_once, master, AT_ONCE // 2), READY_S, lambda: f"even parts{first.tail()}")
        assert second.stop() == os.EX_OK
        wait_until(partial(has_at_once, first, AT_ONCE), LEAVES_S, lambda: f"the whole again{first.tail()}")
        limited.wait_until_running(first, AT_ONCE)
        limited.read(0, time.monotonic_ns())  # before tasks are ended with their workers, and have no end
    assert limited.report.most in (AT_ONCE, AT_ONCE + 1), limited.report


def test_no_limit_is_exceeded_over_hosts_however_workers_and_helpers_die(state_dir: Path, database_url: str) -> None:
    limited = Limited(state_dir, seed=7, hosts=2, parking=database_url)
    report = limited.run(2 * SECONDS, kill_every_s=2.0, kills_helpers=True)
    assert report.complaints == [], report
    assert report.most >= AT_ONCE, "the limit at once was hardly met"


@pytest.mark.timeout(200)
def test_the_part_of_a_host_that_is_cut_off_is_another_hosts_once_it_starts_nothing_any_more(
    state_dir: Path, postgres_url: str
) -> None:
    limited = Limited(state_dir, seed=7, per_second=1000, hosts=2, parking=postgres_url)
    with (
        between(postgres_url) as (through, proxy),
        limited.started(seconds=40) as first,
        limited.started(seconds=40, host=1, parking=through) as second,
    ):
        for master in (first, second):
            wait_until(partial(has_at_once, master, AT_ONCE // 2), READY_S, "even parts")
        proxy.cut()
        limited.wait_until_running(first, AT_ONCE)
        assert running_of(second, "slow") == 0
        assert b"away" in second.verb("limits").stdout
        wait_until_logged(second, "limits_unshared")
        proxy.mend()
        for master in (first, second):
            wait_until(partial(has_at_once, master, AT_ONCE // 2), READY_S, "even parts again")
        limited.read(0, time.monotonic_ns())
    assert limited.report.most in (AT_ONCE, AT_ONCE + 1), limited.report


def test_a_host_whose_master_is_killed_has_its_part_until_its_tasks_have_ended(
    state_dir: Path, postgres_url: str
) -> None:
    """And no longer: its lease would go on for half a minute."""
    limited = Limited(state_dir, seed=7, per_second=1000, hosts=2, parking=postgres_url)
    with limited.started(seconds=20) as first, limited.started(seconds=20, host=1) as second:
        for master in (first, second):
            wait_until(partial(has_at_once, master, AT_ONCE // 2), READY_S, lambda: f"even parts{first.tail()}")
            limited.wait_until_running(master, AT_ONCE // 2)
        kill(first.process.pid)
        wait_until(partial(has_at_once, second, AT_ONCE), LEAVES_S, lambda: f"the whole{second.tail()}")
        limited.wait_until_running(second, AT_ONCE)
        limited.read(0, time.monotonic_ns())
    assert limited.report.most in (AT_ONCE, AT_ONCE + 1), limited.report


def numbers_of(master: Running, key: str) -> int | None:
    """How many tasks of a channel may run at once on this host."""
    return next((each["at_once"] for each in shown(master) if each["key"] == key), None)


def has_at_once(master: Running, count: int) -> bool:
    return numbers_of(master, "slow") == count


def hosts_of(master: Running) -> int:
    return min(each["hosts"] or 0 for each in shown(master))


def wait_until_logged(master: Running, event: str) -> None:
    wait_until(lambda: event in master.log.read_text(), READY_S, lambda: f"{event} in the log{master.tail()}")
