"""`consumerd table` and `consumerd check` on claimed tables, as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

MODULE = """
from consumerd import BaseConsumer, TableBaseConsumer

class Jobs(TableBaseConsumer):
    def handle_task(self, offset, record): ...

class Lines(BaseConsumer):
    def iterate_task(self): yield 0, {}
    def handle_task(self, offset, record): ...
"""


class Desk:
    """A configuration of one claimed table, and the command line."""

    def __init__(self, folder: Path, database: str) -> None:
        self.database = database
        self._folder = folder
        (folder / "jobs.py").write_text(MODULE)
        entries = [{"class": "jobs:Jobs", "configs": {"database": database}}, {"class": "jobs:Lines"}]
        (folder / "c.json").write_text(json.dumps({"shop": entries}))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "consumerd", *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def table(self, *arguments: str, target: str = "shop/Jobs") -> subprocess.CompletedProcess[str]:
        return self.run("table", "c.json", target, *arguments)

    def execute(self, script: str) -> None:
        """Execute a script as a person would who copies it: comments, and statements that end with a semicolon."""
        url = self.database if "://" in self.database else f"sqlite:///{self._folder / self.database}"
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        lines = [line for line in script.splitlines() if not line.startswith("--")]
        with engine.connect() as connection:
            for statement in filter(str.strip, "\n".join(lines).split(";")):
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


@pytest.fixture(params=["sqlite", "mariadb", "postgres"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    is_file = request.param == "sqlite"
    return Desk(tmp_path, "jobs.sqlite" if is_file else request.getfixturevalue(f"{request.param}_url"))


def test_what_is_printed_makes_the_table_when_it_is_copied(desk: Desk) -> None:
    printed = desk.table()
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.startswith("-- shop/Jobs: 2 statements, not executed (--create does)\n")
    assert desk.table().stdout == printed.stdout
    desk.execute(printed.stdout)
    assert desk.table().stdout == "-- shop/Jobs: its table lacks nothing\n"
    assert "warning" not in desk.run("check", "c.json").stdout


def test_check_warns_with_the_statement_that_would_make_the_index_and_create_makes_it(desk: Desk) -> None:
    made = desk.table("--create", "--json")
    answer = json.loads(made.stdout)
    assert (made.returncode, answer["is_made"], len(answer["statements"])) == (0, True, 2)
    desk.execute("DROP INDEX ix_tasks_due" + (" ON tasks" if "mysql" in desk.database else ""))
    checked = desk.run("check", "c.json")
    assert checked.returncode == 0
    [warning] = [line for line in checked.stdout.splitlines() if "warning" in line]
    statement = json.loads(desk.table("--json").stdout)["statements"][0]["statement"]
    assert warning.startswith("  warning: no index serves the claims on tasks")
    assert warning.endswith(f": {statement}")
    assert desk.table("--create").stdout.startswith("-- shop/Jobs: 1 statement, executed\n")
    assert "warning" not in desk.run("check", "c.json").stdout
    assert desk.table("--create").stdout == "-- shop/Jobs: its table lacks nothing\n"


def test_a_column_that_is_missing_is_a_mistake_that_names_the_verb(desk: Desk) -> None:
    desk.table("--create")
    desk.execute("ALTER TABLE tasks DROP COLUMN lease")
    checked = desk.run("check", "c.json")
    assert checked.returncode == 2
    assert "has no column lease: add it (consumerd table CONFIG TARGET prints how)" in checked.stderr
    desk.table("--create")
    assert desk.run("check", "c.json").returncode == 0


def test_what_cannot_be_is_said_in_one_sentence(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "gone/jobs.sqlite")
    other = desk.table(target="shop/Lines")
    assert (other.returncode, other.stdout) == (2, "")
    assert (
        other.stderr
        == "c.json: shop[1].configs: its source is generator, which has no table that consumerd could make\n"
    )
    several = desk.table(target="shop")
    assert (several.returncode, several.stderr.count("\n")) == (2, 1)
    unwritable = desk.table("--create")
    assert (unwritable.returncode, unwritable.stdout, unwritable.stderr.count("\n")) == (1, "", 1)
    assert "see that its folder is there" in unwritable.stderr


@pytest.mark.parametrize("server", ["mariadb", "postgres"])
def test_a_table_that_somebody_uses_is_not_waited_for_long(
    server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, request.getfixturevalue(f"{server}_url"))
    desk.table("--create")
    desk.execute("ALTER TABLE tasks DROP COLUMN lease")
    engine = create_engine(desk.database, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM tasks")
        waited = desk.table("--create")
        assert (waited.returncode, waited.stdout, waited.stderr.count("\n")) == (2, "", 1)
        assert waited.stderr.endswith(": find the process that holds it\n")
    assert desk.table("--create").stdout.startswith("-- shop/Jobs: 1 statement, executed\n")


def test_an_index_is_made_concurrently_and_a_name_that_is_taken_is_told(postgres_url: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path, postgres_url)
    desk.table("--create")
    desk.execute("DROP INDEX ix_tasks_due")
    [change] = json.loads(desk.table("--json").stdout)["statements"]
    assert change["statement"].startswith("CREATE INDEX CONCURRENTLY ")
    desk.execute("CREATE INDEX ix_tasks_due ON tasks (due_at)")
    taken = desk.table("--create")
    assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
    assert 'relation "ix_tasks_due" already exists' in taken.stderr
