"""A verb that asks the master imports only what it takes to ask."""

from __future__ import annotations

import subprocess
import sys

from consumerd.cli.verbs import MASTERS, VERBS

HEAVY = ("pydantic", "sqlalchemy", "asyncio", "consumerd.master", "consumerd.config.shape", "consumerd.worker")


def test_no_verb_imports_the_master_pydantic_or_sql_on_its_way_to_the_socket() -> None:
    modules = ["consumerd.cli.main", *(verb.module for verb in VERBS.values() if verb.module.startswith(MASTERS))]
    program = f"import sys, {', '.join(modules)}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert set(modules) <= set(imported)
    assert [name for name in imported if name.startswith(HEAVY)] == []
