"""Drills: something is broken for real, and the first finding of `consumerd doctor` names it."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import READY_S, Running, environment, running
from integration.scenarios.small_masters import entry, wait_running, write_config
from servers.waiting import wait_until

LONG_S = 90.0


def found(master: Running) -> list[dict[str, Any]]:
    """What the doctor finds."""
    shown = master.verb("doctor", "--json")
    findings: list[dict[str, Any]] = json.loads(shown.stdout)
    assert shown.returncode == (1 if findings else 0), shown.stderr
    return findings


def wait_found(master: Running, name: str) -> dict[str, Any]:
    """Until that is the first finding."""

    def first() -> dict[str, Any] | None:
        findings = found(master)
        return findings[0] if findings and findings[0]["name"] == name else None

    return wait_until(first, LONG_S, lambda: f"{name}, and it is {found(master)}{master.tail()}")


def running_on(config: str, state_dir: Path, tmp_path: Path) -> AbstractContextManager[Running]:
    return running(config, state_dir=state_dir, log=tmp_path / "log", env=environment())


def test_nothing_is_found_where_all_is_well(state_dir: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, entry("Counting", workers=2))
    with running_on(config, state_dir, tmp_path) as master:
        wait_running(master, 2)
        assert found(master) == []
        assert b"nothing is wrong" in master.verb("doctor").stdout
        assert master.verb("doctor", "smal").returncode == 2
    assert [finding["name"] for finding in found(master)] == ["no_master"]


@pytest.mark.parametrize(("name", "finding"), [("Missing", "code_not_loaded"), ("Crashing", "crash_loop")])
def test_code_that_does_not_run_is_named(name: str, finding: str, state_dir: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, entry("Counting"), entry(name, workers=2, mended=str(tmp_path / "mended")))
    with running_on(config, state_dir, tmp_path) as master:
        assert wait_found(master, finding)["consumer"] == f"small/{name.lower()}"


@pytest.mark.timeout(200)
def test_a_database_that_refuses_its_user_is_not_taken_for_one_that_is_away(
    state_dir: Path, tmp_path: Path, mariadb_url: str
) -> None:
    create_table(mariadb_url)
    enqueue(mariadb_url, [{"number": number} for number in range(10)])
    admin, name = create_engine(mariadb_url), f"doctor_{os.getpid()}"

    def execute(*statements: str) -> None:
        with admin.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    database = admin.url.database
    execute(f"CREATE USER {name}@'%' IDENTIFIED BY 'first'", f"GRANT ALL ON {database}.* TO {name}@'%'")
    url = admin.url.set(username=name, password="first").render_as_string(hide_password=False)
    configs = {"database": url, "book": str(tmp_path / "book"), "task_s": 0.01}
    config = write_config(tmp_path, entry("NumberedRows", module="integration.scenarios.numbered_rows", **configs))
    try:
        with running_on(config, state_dir, tmp_path) as master:
            wait_running(master, 1)
            assert found(master) == []
            execute(f"ALTER USER {name}@'%' IDENTIFIED BY 'second'")
            execute(f"KILL USER {name}")
            assert "Access denied" in wait_found(master, "source_refuses")["evidence"][0]
            execute(f"ALTER USER {name}@'%' IDENTIFIED BY 'first'")
            wait_until(lambda: found(master) == [], READY_S, lambda: f"well again, and it is {found(master)}")
    finally:
        execute(f"DROP USER {name}@'%'")
        admin.dispose()
