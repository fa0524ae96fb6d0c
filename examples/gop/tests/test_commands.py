"""What people do by hand."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumerd.testing import run_consumer
from gop_consumer import commands
from gop_consumer.consumers.archive_consumer import ArchiveConsumer

OLD = "2026-01-01 00:00:00"
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs it; its exit code, and what it says."""
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["commands", *arguments])
        code = commands.main()
        return code, capsys.readouterr().out

    return run


def test_the_report_fails_while_a_person_has_to_look(command: Command, rows: sqlite3.Connection) -> None:
    assert command("report") == (0, "found 0, mended 0, by callback 0, still open 0, failed 0\n")
    rows.execute("INSERT INTO payment VALUES (5, 7, 1, 'wechat', 600, 'unknown', NULL, NULL, NULL)")
    rows.execute("INSERT INTO payment_check (payment_id, channel, state) VALUES (5, 'wechat', 'dead')")
    assert command("report") == (1, "found 1, mended 0, by callback 0, still open 0, failed 1 [5]\n")


def test_attempts_are_listed_with_the_next_try(command: Command, rows: sqlite3.Connection) -> None:
    rows.execute("INSERT INTO payment_notification (app_id, payment_id, body, due_at) VALUES (7, 5, '{}', 1.7e9)")
    rows.execute("INSERT INTO notification_attempt VALUES (1, 1, 7, 1, 500, 20, 'down', '2026-01-01 00:00:00')")
    shown = "1 2026-01-01 00:00:00 500 20 ms down\npending, next at 2023-11-14 22:13:20 UTC\n"
    assert command("attempts", "1") == (0, shown)
    assert command("attempts", "2") == (1, "there is no notification 2\n")


def test_an_app_is_recovered_by_its_dead_tasks(
    command: Command, rows: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    def run(arguments: list[str], **given: Any) -> subprocess.CompletedProcess[bytes]:  # whatever subprocess takes
        called.append(arguments)
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert command("recover", "--app", "7", "--since", "3d") == (1, "no app 7 has a webhook\n")
    rows.execute("INSERT INTO webhook VALUES (7, 'https://old.example', 'whsec_YQ', NULL, '2026-01-01')")
    assert command("recover", "--app", "7", "--since", "3d", "--url", "https://new.example")[0] == 0
    assert rows.execute("SELECT url, gone_at FROM webhook").fetchall() == [("https://new.example", None)]
    assert " ".join(called[0]).endswith("--state dead --error app 7: --since 3d")


def test_the_archive_is_planned_and_restored(
    command: Command, path: str, rows: sqlite3.Connection, tmp_path: Path
) -> None:
    add = "INSERT INTO game_order (account_id, item, amount, state, finished_at) VALUES (1, 'sword', 5, 'finished', ?)"
    rows.executemany(add, [(OLD,)] * 3)
    planned = f"game_order: 3 rows in 2 pages, {OLD} to {OLD}\napp_event: 0 rows in 0 pages\n"
    assert command("plan", "--page", "2") == (0, planned)
    configs = {"database": path, "folder": tmp_path, "pause": 0}
    run_consumer(ArchiveConsumer, [{"scheduled": "2026-06-01T03:00:00Z"}], configs=configs)
    [file] = tmp_path.glob("*.jsonl.gz")
    assert command("restore", str(file)) == (0, f"{file}: 3 rows are back\n")
    assert rows.execute("SELECT count(*) FROM game_order").fetchone() == (3,)
