"""What runs is what `consumerd check` accepts, and the tables are the same on both databases."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDRESSES = {
    "GOP_BROKERS": "localhost:9092",
    "GOP_DATABASE": "mysql+pymysql://gop:secret@localhost/gop",
    "GOP_WECHAT": "https://wechat.example",
    "GOP_UNIONPAY": "https://unionpay.example",
}

SETTINGS = ["gop_consumer.settings:KAFKA_SERVER_SETTING", "gop_consumer.settings:APP_EVENT_SETTING"]


@pytest.mark.parametrize("configuration", [str(ROOT / "gop.toml"), *SETTINGS])
def test_the_configuration_passes_the_check(configuration: str) -> None:
    command = [sys.executable, "-m", "consumerd", "check", "--no-probe", configuration]
    checked = subprocess.run(
        command, env=ADDRESSES | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "warning" not in checked.stdout


def columns(schema: str) -> dict[str, set[str]]:
    """The columns of each table."""
    found = {}
    for name, body in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) \(\n(.*?)\n\)", (ROOT / schema).read_text(), re.S):
        lines = [line.split()[0] for line in body.splitlines()]
        found[name] = {word for word in lines if word.islower()}
    return found


def test_the_tables_are_the_same_on_both_databases() -> None:
    on_mariadb, on_sqlite = columns("schema.sql"), columns("schema_sqlite.sql")
    copies = {name: on_sqlite.pop(name) for name in list(on_sqlite) if name.endswith("_archive")}
    assert on_mariadb == on_sqlite
    assert copies == {f"{name}_archive": on_mariadb[name] for name in ("game_order", "app_event")}
