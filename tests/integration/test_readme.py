"""The README's examples, as a newcomer copies them."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from integration.scenarios.copied_examples import copy_examples, python

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_examples(README, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("logins", "shop/LoginConsumer: logins:LoginConsumer, source kafka, 4 workers"),
        ("mails", "shop/MailConsumer: mails:MailConsumer, source query, 1 worker"),
        ("jobs", "shop/JobConsumer: jobs:JobConsumer, source table, 2 workers"),
    ],
)
def test_an_example_passes_its_check_without_a_remark(folder: Path, name: str, line: str) -> None:
    done = python(folder, "-m", "consumerd", "check", f"{name}.toml", "--no-probe")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{line}\n", "")


@pytest.mark.parametrize(("name", "tasks"), [("mails", 2), ("jobs", 1000)])
def test_an_example_fills_its_own_table(folder: Path, name: str, tasks: int) -> None:
    made = python(folder, f"{name}.py")
    assert (made.returncode, made.stderr) == (0, "")
    table = {"mails": "mail WHERE state = 'new'", "jobs": "tasks"}[name]
    with contextlib.closing(sqlite3.connect(folder / f"{name}.sqlite")) as database:
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (tasks,)
