"""The demo's directory and its databases."""

import os
import sqlite3
from pathlib import Path

import pytest

from consumerd.config.loading import load
from consumerd.demo.books import TableCounts, count_tasks, read_books, read_parked_key
from consumerd.demo.grants import Handling, opened
from consumerd.demo.logins import POISON, make_logins, payloads
from consumerd.demo.workspace import TARGET, Workspace


@pytest.mark.parametrize("name", ["plain", "with space", 'with "quotes" and \\', "ü", "100%"])
def test_the_configuration_holds_up_whatever_the_directory_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    workspace = Workspace(tmp_path / name)
    workspace.write_configuration(workers=4, pause_s=0.001)
    (consumer,) = load(str(workspace.configuration)).consumers
    assert str(consumer.full_name) == TARGET
    assert consumer.common.workers == 4
    assert consumer.configs["grants"] == str(workspace.grants)


def test_what_is_produced_is_in_the_table(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    produced = payloads(make_logins(20))
    workspace.produce(produced)
    with sqlite3.connect(workspace.tasks) as tasks:
        assert [row[0] for row in tasks.execute("SELECT payload FROM login_task ORDER BY id")] == produced
    assert count_tasks(workspace) == TableCounts(parked=0, pending=25)


def test_the_books_of_a_demo_in_which_nothing_ran(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    logins = make_logins(20)
    workspace.produce(payloads(logins))
    books = read_books(workspace, logins=logins, poison=POISON, killed_pids=frozenset())
    assert (books.handled, books.parked, books.grants, books.pending) == ((), (), {}, 25)
    assert read_parked_key(workspace, "ZeroDivisionError") is None


def test_a_grant_keeps_the_newest_time_and_the_book_every_handling(tmp_path: Path) -> None:
    with opened(tmp_path / "grants.sqlite") as grants:
        grants.create()
        for login_id, now in ((1, 20), (2, 30), (3, 10), (3, 10)):
            grants.update_grant_use_time((1, 7, 100), now, login_id=login_id)
        assert grants.read_grants() == {(1, 7, 100): 30}
        assert grants.read_handled() == tuple(Handling(login_id, os.getpid()) for login_id in (1, 2, 3, 3))
        assert grants.count() == 3


def test_a_handling_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "grants.sqlite") as grants:
        grants.create()
        with pytest.raises(sqlite3.IntegrityError):
            grants.update_grant_use_time((1, 7, 100), None, login_id=1)  # type: ignore[arg-type]  # that is the point
        assert grants.read_grants() == {}
        assert grants.read_handled() == ()


def test_a_temporary_directory_with_a_long_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    workspace = Workspace.make()
    try:
        assert workspace.path.parent == Path("/tmp")
        assert not list(long.iterdir())
    finally:
        workspace.path.rmdir()
