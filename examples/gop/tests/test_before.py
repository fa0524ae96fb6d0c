"""The scripts that the daemons were before, and what runs them."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

from world.supervisord import PROGRAMS

BEFORE = Path(__file__).parents[1] / "before"


def test_supervisord_runs_each_script_and_nothing_else() -> None:
    configuration = RawConfigParser()
    configuration.read(BEFORE / "supervisord.conf")
    programs = [name.removeprefix("program:") for name in configuration.sections() if name.startswith("program:")]
    scripts = [configuration[f"program:{name}"]["command"].split()[1] for name in programs]
    assert tuple(programs) == PROGRAMS
    assert scripts == [f"{name}.py" for name in programs]
    assert sorted(scripts) == sorted(path.name for path in BEFORE.glob("*.py"))


def test_each_process_of_a_table_takes_the_rows_of_its_number() -> None:
    configuration = RawConfigParser()
    configuration.read(BEFORE / "supervisord.conf")
    for name in ("notifications", "checks"):
        section = configuration[f"program:{name}"]
        assert section["command"].split()[2:] == ["%(process_num)d", section["numprocs"]]
