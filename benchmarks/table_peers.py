"""Other task queues on a SQL database beside one worker of ours, in the same run: how many tasks a second."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.brokers import database_server
from benchmarks.figures import Figure
from benchmarks.supervision.peers import environment

ROWS = {"consumerd": 20_000, "pgqueuer": 20_000}
FEWER_ROWS = 2_000
"""Of those that take a millisecond or more for each."""
ENDS_WITHIN_S = 600.0

CELERY = ("celery==5.7.0", "SQLAlchemy==2.1.9", "psycopg2-binary==2.9.13")
HUEY = ("huey==3.5.4", "peewee==4.5.3", "psycopg2-binary==2.9.13")
PEERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "celery": ("both", CELERY),
    "huey_sqlite": ("SQLite", HUEY),
    "huey_sql": ("PostgreSQL", HUEY),
    "procrastinate": ("PostgreSQL", ("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9")),
    "pgqueuer": ("PostgreSQL", ("pgqueuer==1.6.0", "asyncpg==0.32.0")),
}
"""Where each works, and what its environment has."""


def figures() -> Iterator[Figure]:
    """Those that work in a file, and those on PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _beside("SQLite", lambda: f"sqlite:///{folder}/{uuid.uuid4().hex}.sqlite")
    with database_server("PostgreSQL") as server, server.fresh_database() as url:
        yield from _beside("PostgreSQL", lambda: url)


def _beside(place: str, database: Callable[[], str]) -> Iterator[Figure]:
    ours = _pace([sys.executable, "-m", "benchmarks.table_run", "consumerd"], database(), "consumerd", ["nothing"])
    for name, (where, wanted) in PEERS.items():
        if where in (place, "both"):
            python = str(environment(f"peer-{name.partition('_')[0]}", wanted) / "bin/python")
            script = str(Path(__file__).with_name("peer_tables.py"))
            url = database().replace("postgresql+psycopg:", "postgresql:")
            theirs = _pace([python, script, name], url, name, [])
            what = f"{place}: one worker beside {wanted[0].replace('==', ' ')}"
            yield Figure(what, f"{ours:,.0f}/s", f"{theirs:,.0f}/s", ours / theirs, 1.0)


def _pace(command: list[str], url: str, name: str, more: list[str]) -> float:
    rows = ROWS.get(name, FEWER_ROWS)
    found = subprocess.run(
        [*command, url, str(rows), *more], capture_output=True, text=True, check=False, timeout=ENDS_WITHIN_S
    )
    if found.returncode:
        raise RuntimeError(f"{name} failed: {found.stderr}")
    [told] = [line for line in found.stdout.splitlines() if line.startswith('{"pace"')]
    return float(json.loads(told)["pace"])
